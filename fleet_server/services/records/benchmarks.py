"""What is stored of benchmark jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from edgekit.bench.report import LatencyReport
from edgekit.jobs import BenchmarkJob


class BenchmarkState(StrEnum):
    """Where a benchmark job stands. Stored values are never renamed."""

    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkRecord:
    """One device asked to measure one bundle.

    Attributes:
        id: Number of the job; 0 before it is stored.
        device_id: The device.
        model: Name of the model.
        version: Release that the bundle is of.
        variant: Variant that the bundle is.
        job: What the device is told; its id is that of the record.
        state: Where it stands.
        asked_at: UTC.
        ended_at: UTC; None while it waits.
        reason: Why it was refused; empty otherwise.
        detail: The same for people.
        report: What was measured.
    """

    id: int = 0
    device_id: str
    model: str
    version: str
    variant: str
    job: BenchmarkJob
    state: BenchmarkState = BenchmarkState.WAITING
    asked_at: datetime
    ended_at: datetime | None = None
    reason: str = ""
    detail: str = ""
    report: LatencyReport | None = None
