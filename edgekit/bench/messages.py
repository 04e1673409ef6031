"""What the measuring process and the one that asks it say to each other, a JSON line each."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from edgekit.bench.condition import Condition, Probe
from edgekit.bench.measure import WarmUp
from edgekit.bench.statistics import Summary
from edgekit.runtime import OperatorTime


class Ask(StrEnum):
    """What to do next."""

    STREAM = "stream"
    BLOCK = "block"
    SUSTAIN = "sustain"
    PROFILE = "profile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Argument of a measuring process.

    Attributes:
        path: Bundle or model file.
        threads: For the runtime.
        affinity: Cores to stay on; empty leaves it to the system.
        spawned_ns: Monotonic clock when the process was asked for.
    """

    path: str
    spawned_ns: int
    threads: int = 1
    affinity: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One piece of work.

    Attributes:
        ask: What.
        runs: Fewest queries; of a block or a profile exactly so many.
        secs: Shortest time; of a sustained load the length of one slice.
        warmup_runs: Before that; None until it is stable.
        slices: Of a sustained load.
        samples_file: Where a stream leaves its raw samples (.npz).
    """

    ask: Ask
    runs: int = 1
    secs: float = 0.0
    warmup_runs: int | None = 0
    slices: int = 1
    samples_file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The model is loaded and has answered once.

    Attributes:
        digest: SHA-256 of the file that was named.
        runtime: That runs it.
        version: Of the runtime.
        provider: Execution provider.
        inputs: "golden samples" or "random numbers".
        has_steps: Whether there is preprocessing and postprocessing to time.
        process_ms: From asking for a process to its own first line, imports of ours included.
        import_ms: Program code of the runtime.
        load_ms: The model.
        first_ms: The first inference.
        cold_ms: From asking for a process to the first answer.
        before_mb: Memory before the model was loaded.
    """

    digest: str
    runtime: str
    version: str
    provider: str
    inputs: str
    has_steps: bool
    process_ms: float
    import_ms: float
    load_ms: float
    first_ms: float
    cold_ms: float
    before_mb: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """A stream is over; its samples lie in the file that was asked for."""

    warm_up: WarmUp
    condition: Condition
    probes: tuple[Probe, ...]
    peak_mb: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One piece of a sustained load.

    Attributes:
        at_s: When it began.
        inference: Latency of the inference within it, milliseconds.
        condition: How the machine was.
    """

    at_s: float
    inference: Summary
    condition: Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error of EdgeKit's, to be raised again on the other side."""

    kind: str
    what: str
    where: str = ""
    todo: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Answer to one request: one of these is filled in."""

    failure: Failure | None = None
    started: Started | None = None
    streamed: Streamed | None = None
    block_ms: tuple[float, ...] = ()
    slices: tuple[Slice, ...] = ()
    operators: tuple[OperatorTime, ...] | None = field(default=None)
