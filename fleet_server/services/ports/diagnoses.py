"""What the use cases need of storage for diagnose bundles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from fleet_server.services.records.diagnoses import DiagnosisRecord


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

    def waiting(self, device_ids: Iterable[str]) -> Mapping[str, int]:
        """Return the number of the oldest request that devices have not answered, by device."""
        ...

    def forget_before(self, at: datetime) -> tuple[str, ...]:
        """Delete what was asked for before a time; returns the devices that had not answered."""
        ...
