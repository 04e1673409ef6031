"""What drift needs of storage: windows of an hour, added up, the hours kept, and references."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from fleet_server.domain.drift import Hour
from fleet_server.services.records.drift import DriftRecord, ReferenceRecord, ReleaseHourRecord


class DriftHours(Protocol):
    """Hours by device, bundle and time."""

    def summed(self, since: datetime, until: datetime) -> Mapping[tuple[str, str, str], Hour]:
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


class ReleaseDrift(Protocol):
    """References of published bundles, and hours of all devices by bundle and time."""

    def put_reference(self, record: ReferenceRecord) -> None:
        """Keep what a bundle was proven on; again changes nothing."""
        ...

    def references(self) -> Mapping[str, ReferenceRecord]:
        """Return the references of bundles of listed releases, by digest."""
        ...

    def put(self, records: Iterable[ReleaseHourRecord]) -> None:
        """Add hours, or replace them."""
        ...

    def since(self, at: datetime) -> Sequence[ReleaseHourRecord]:
        """Return the hours that began at a time or later, oldest first."""
        ...

    def forget_before(self, at: datetime) -> None:
        """Delete old hours."""
        ...
