"""What the use cases need of storage for diagnose bundles; as fleet_server.services.ports."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


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


class Diagnoses(Protocol):
    """Diagnose bundles by number."""

    def add(self, record: DiagnosisRecord) -> DiagnosisRecord:
        """Add a request; returns it with its number."""
        ...

    def end(self, record: DiagnosisRecord, bundle: bytes) -> None:
        """Store what a device answered."""
        ...

    def get(self, number: int) -> DiagnosisRecord | None:
        """Return a request."""
        ...

    def bundle(self, number: int) -> bytes:
        """Return the bytes of a bundle; empty for none."""
        ...

    def waiting(self, device_id: str) -> int | None:
        """Return the number of the oldest request that a device has not answered."""
        ...

    def forget_before(self, at: datetime) -> tuple[str, ...]:
        """Delete what was asked for before a time; returns the devices that had not answered."""
        ...
