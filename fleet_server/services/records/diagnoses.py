"""What is stored of diagnose bundles that devices were asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisRecord:
    """One diagnose bundle that a device was asked for.

    Attributes:
        id: Number; 0 before it is stored.
        device_id: The device.
        asked_at: When, UTC.
        asked_by: Account that asked.
        ended_at: When the device answered, UTC; None while it has not.
        problem: Why the device has no bundle; empty when there is one.
        size: Bytes of the bundle.
    """

    id: int = 0
    device_id: str
    asked_at: datetime
    asked_by: str
    ended_at: datetime | None = None
    problem: str = ""
    size: int = 0
