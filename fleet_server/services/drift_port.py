"""What the drift use case needs of storage: windows of an hour, added up, and the hours kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fleet_server.domain.drift import Counts, Hour


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRecord:
    """One hour of one device and bundle.

    Attributes:
        device_id: The device.
        model: Name of the model.
        digest: SHA-256 of the bundle that ran.
        hour: What was counted, and what drifted.
        watched: There were enough hours before to say.
        told: What drifted, in words; empty when nothing did.
    """

    device_id: str
    model: str
    digest: str
    hour: Hour
    watched: bool = False
    told: str = ""


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
