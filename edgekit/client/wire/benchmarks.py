"""Wire types of benchmarks on devices, under /api/v1/benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBenchmark:
    """POST /benchmarks: ask devices to measure a bundle that a release has.

    Attributes:
        digest: SHA-256 of the bundle.
        device: Id of one device; or
        selector: labels that must match.
        threads: Threads of the runtime.
        num_runs: Fewest queries.
        min_secs: Shortest time, seconds, at most an hour.
    """

    digest: str
    device: str = ""
    selector: str = ""
    threads: int = 1
    num_runs: int = 128
    min_secs: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkView:
    """GET /benchmarks/{id}: one device asked to measure one bundle.

    Attributes:
        state: "waiting", "done" or "refused".
        reason: Why it was refused: "busy", "updating", "not_held", "untrusted", "no_room",
            "unsupported" or "failed".
        detail: The same for people.
        report: `edgekit.bench.LatencyReport` as JSON, without raw samples.
        warnings: What speaks against the report.
    """

    id: int
    device: str
    model: str
    version: str
    variant: str
    digest: str
    state: str
    asked_at: str
    ended_at: str | None = None
    reason: str = ""
    detail: str = ""
    report: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldAlarmView:
    """GET /benchmarks/alarms: a device whose telemetry left the interval of its benchmark.

    Attributes:
        digest: SHA-256 of the bundle.
        benchmark: Number of the job.
        p90_ms: In the field, over the last hour.
        low_ms: Lowest value that would have been fine.
        high_ms: Highest value that would have been fine.
    """

    device: str
    model: str
    version: str
    variant: str
    digest: str
    benchmark: int
    p90_ms: float
    low_ms: float
    high_ms: float
