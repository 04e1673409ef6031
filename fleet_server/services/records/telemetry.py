"""What is stored of telemetry: windows on the server's clock, and their sums."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from edgekit.telemetry import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRecord:
    """A window on the server's clock.

    Attributes:
        device_id: Who sent it.
        spool_id: Spool that numbered it.
        window: As it was sent.
        received_at: UTC.
        ended_at: UTC by the server's clock; None when it is of another boot than the batch.
    """

    device_id: str
    spool_id: str
    window: Window
    received_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowTotals:
    """Windows of one device, model, digest and spool, added up."""

    model: str
    digest: str
    spool_id: str
    windows: int
    first_seq: int
    last_seq: int
    inferences: int
    errors: int
    latencies: int
    sum_log_latency: float
    first_ended_at: datetime | None
    last_ended_at: datetime | None
