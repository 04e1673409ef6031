"""What drift needs of storage: windows of an hour, added up, and the hours kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from fleet_server.domain.drift import Counts, Hour
from fleet_server.services.records.drift import DriftRecord


class DriftHours(Protocol):
    """Hours by device, bundle and time."""

    def summed(
        self, since: datetime, until: datetime
    ) -> Mapping[tuple[str, str, str], Mapping[str, Counts]]:
        """Merge the counts of windows that ended in (since, until], by device, model and digest."""
        ...

    def put(self, records: Iterable[DriftRecord]) -> None:
        """Add hours, or replace them."""
        ...

    def past(self, device_id: str, digest: str, *, since: datetime) -> Sequence[Hour]:
        """Return the hours of a device and bundle from a time on, oldest first."""
        ...

    def recent(self, model: str, *, since: datetime) -> Sequence[DriftRecord]:
        """Return the hours of a model ("": of all) that began at a time or later, oldest first."""
        ...

    def forget_before(self, at: datetime) -> None:
        """Delete old hours."""
        ...
