"""What a device profile keeps of a measurement on a board. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgekit.bench.report import LatencyFile, LatencyReport
from edgekit.bench.steadiness import Steadiness
from edgekit.errors import InconclusiveError


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One measurement, short enough to read.

    Attributes:
        what: Name of the file that was measured.
        digest: Its SHA-256.
        at: UTC, ISO 8601.
        cpu: Model name of the processor.
        arch: Machine name.
        system: Kernel name and release.
        runtime: That ran it.
        version: Of the runtime.
        provider: Execution provider.
        threads: Threads that it was given.
        governor: Frequency governor; empty where the board does not say.
        median_ms: Of the inference.
        p90_ms: No higher than this with 99 % confidence; None with fewer than 64 queries.
        queries: Measurements.
        cold_start_ms: From nothing to the first answer, median.
        peak_mb: Memory of a fresh process; None where not told.
        noise_floor: Smallest relative difference that could be seen; None with too few.
        steadiness: What the board's speed did; None with too few measurements.
        warnings: What speaks against it.
    """

    what: str
    digest: str
    at: str
    cpu: str
    arch: str
    system: str
    runtime: str
    version: str
    provider: str
    threads: int
    governor: str
    median_ms: float
    p90_ms: float | None
    queries: int
    cold_start_ms: float
    peak_mb: float | None
    noise_floor: float | None
    steadiness: Steadiness | None
    warnings: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What one measurement replaces another of: file, runtime, provider, threads."""
        return self.digest, self.runtime, self.provider, self.threads


def measured(file: LatencyFile, *, accept_warnings: bool) -> tuple[Measured, ...]:
    """Return what a profile keeps of a file.

    Args:
        file: From a board.
        accept_warnings: Take measurements that something speaks against, warnings included.

    Raises:
        InconclusiveError: Something speaks against one of them.
    """
    for report in file.reports:
        if report.warnings and not accept_warnings:
            raise InconclusiveError(
                report.warnings[0],
                where=report.what,
                todo="measure again, or take it as it is with --accept-warnings",
            )
    return tuple(_measured(report, at=file.measured_at) for report in file.reports)


def merged(old: Iterable[Measured], new: Iterable[Measured]) -> tuple[Measured, ...]:
    """Return both; of two with the same key the new one."""
    kept = {one.key: one for one in (*old, *new)}
    return tuple(kept.values())


def _measured(report: LatencyReport, *, at: str) -> Measured:
    inference, machine = report.inference, report.environment
    return Measured(
        what=report.what.rpartition("/")[2],
        digest=report.digest,
        at=at,
        cpu=machine.cpu,
        arch=machine.arch,
        system=machine.system,
        runtime=report.runtime,
        version=report.version,
        provider=report.provider,
        threads=report.threads,
        governor=report.condition.governor,
        median_ms=inference.median,
        p90_ms=inference.p90,
        queries=inference.count,
        cold_start_ms=report.starts["cold start"].median,
        peak_mb=report.memory.peak_mb,
        noise_floor=report.noise_floor,
        steadiness=report.steadiness,
        warnings=report.warnings,
    )
