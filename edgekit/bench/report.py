"""The report of one measurement: numbers, and everything it takes to judge what they are worth."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from edgekit import codec
from edgekit.bench.condition import Condition, Probe
from edgekit.bench.environment import Environment
from edgekit.bench.measure import WarmUp
from edgekit.bench.messages import Slice
from edgekit.bench.statistics import STEADY_VARIATION, Percentile, Summary
from edgekit.bench.steadiness import Drift, Steadiness
from edgekit.errors import FormatError, StorageError
from edgekit.runtime import OperatorTime

FORMAT_VERSION = "1.0"
FORMAT_MAJOR = 1
MAX_FILE_BYTES = 1 << 28
OTHER_LOAD = 0.1
"""Cores that others may keep busy before it is worth a warning."""
START_PARTS = ("process", "runtime import", "load", "first inference", "cold start")
"""Of a start as they follow each other; the last is their sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One part of a query.

    Attributes:
        name: "preprocessing", "inference", "postprocessing" or "total".
        summary: Milliseconds.
        percentiles: Those that were asked for.
    """

    name: str
    summary: Summary
    percentiles: tuple[Percentile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory of a fresh process that loads this model and nothing else.

    Attributes:
        before_mb: With the runtime's program code, before the model; None where not told.
        peak_mb: The most there ever was until the warm-up ended; None where not told.
    """

    before_mb: float | None
    peak_mb: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Raw samples, in order.

    Attributes:
        started_s: When each query began, seconds after the first.
        steps_ms: Latency of each step of the query, by name, milliseconds.
        every: 1 for all of them, 10 for every tenth of a long run.
    """

    started_s: tuple[float, ...]
    steps_ms: dict[str, tuple[float, ...]]
    every: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyReport:
    """How long one inference takes here, and how far that can be relied on.

    Attributes:
        what: The bundle or model file.
        digest: SHA-256 of that file.
        runtime: Runtime that ran it.
        version: Of the runtime.
        provider: Execution provider that ran it.
        threads: Threads that the runtime was given.
        inputs: "golden samples" or "random numbers".
        steps: Preprocessing, inference, postprocessing and total; only inference for a model file.
        starts: START_PARTS, each over several fresh processes, milliseconds.
        memory: Of a fresh process.
        warm_up: What came before.
        condition: How the machine was meanwhile.
        probes: The same over time.
        steadiness: What the machine's speed did; None with too few measurements to say.
        drift: The trend; None with too few measurements.
        noise_floor: Smallest relative difference that could be seen; None with too few.
        environment: On what it was measured.
        operators: Where the time goes; empty where the runtime does not say.
        curve: Of a sustained load.
        samples: Raw samples; None where they were left out.
    """

    what: str
    digest: str
    runtime: str
    version: str
    provider: str
    threads: int
    inputs: str
    steps: tuple[Step, ...]
    starts: dict[str, Summary]
    memory: Memory
    warm_up: WarmUp
    condition: Condition
    probes: tuple[Probe, ...]
    steadiness: Steadiness | None
    drift: Drift | None
    noise_floor: float | None
    environment: Environment
    operators: tuple[OperatorTime, ...] = ()
    curve: tuple[Slice, ...] = ()
    samples: Samples | None = None

    def step(self, name: str) -> Step | None:
        """Return one step, or None if there was nothing of that name."""
        return next((step for step in self.steps if step.name == name), None)

    @property
    def starts_in_order(self) -> tuple[tuple[str, Summary], ...]:
        """Parts of a start as they follow each other; a file keeps them by name."""
        return tuple((name, self.starts[name]) for name in START_PARTS if name in self.starts)

    @property
    def inference(self) -> Summary:
        """Of the runtime alone."""
        found = self.step("inference")
        if found is None:
            raise FormatError("holds no inference", where=self.what)
        return found.summary

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why the numbers may not mean what they seem to; empty when nothing speaks against them.

        A property, so that a file from elsewhere is judged by what it measured.
        """
        return tuple(_warnings(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyFile:
    """Reports of one command with its date.

    Attributes:
        reports: One for each file and number of threads.
        measured_at: UTC, ISO 8601.
        kind: Tells this from other files.
    """

    reports: tuple[LatencyReport, ...]
    measured_at: str = ""
    kind: str = "edgekit.latency"
    format_version: str = field(default=FORMAT_VERSION)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    kind: str = ""
    format_version: str = ""


def without_samples(file: LatencyFile) -> LatencyFile:
    """Return the same without raw samples, for a screen."""
    return replace(file, reports=tuple(replace(r, samples=None) for r in file.reports))


def save_latency(path: Path, file: LatencyFile) -> None:
    """Write reports as JSON.

    Raises:
        StorageError: The file cannot be written.
    """
    try:
        path.write_bytes(codec.encode(file) + b"\n")
    except OSError as error:
        raise StorageError(f"cannot write ({error.strerror})", where=str(path)) from error


def read_latency(path: Path) -> LatencyFile:
    """Read what `save_latency` wrote, here or elsewhere.

    Raises:
        StorageError: The file cannot be read.
        FormatError: It is something else, or of an unknown major version.
    """
    where = str(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise FormatError("is too large for a result", where=where)
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read ({error.strerror})", where=where) from error
    head = codec.decode(data, _Head, where=where)
    if head.kind != "edgekit.latency":
        raise FormatError(
            "is no result of a benchmark", where=where, todo="write one with: edgekit bench --save"
        )
    codec.check_major(head.format_version, FORMAT_MAJOR, where=where)
    return codec.decode(data, LatencyFile, where=where)


def _warnings(report: LatencyReport) -> list[str]:
    found = []
    if report.steadiness is None:
        found.append("too few measurements to say whether the machine was steady")
    elif report.steadiness is not Steadiness.STABLE:
        by = f" by {report.drift.change:+.1%}" if report.drift else ""
        found.append(f"the machine was {report.steadiness}: latency changed{by} on the way")
    if not report.warm_up.stable:
        found.append(f"still not warm after {report.warm_up.seconds:.0f} s")
    if report.inference.variation > STEADY_VARIATION:
        found.append(
            f"varies by {report.inference.variation:.1%} (more than {STEADY_VARIATION:.1%}): "
            "the machine was not quiet"
        )
    others = report.condition.other_load
    if others is not None and others > OTHER_LOAD:
        found.append(f"other programs kept {others:.1f} cores busy meanwhile")
    if report.threads > len(report.condition.affinity):
        found.append(f"{report.threads} threads shared {len(report.condition.affinity)} cores")
    if report.inputs == "random numbers":
        found.append("measured on random numbers, not on real inputs")
    return found
