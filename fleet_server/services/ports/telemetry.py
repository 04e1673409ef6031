"""What the use cases need of storage for telemetry windows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from edgekit.telemetry import LogHistogram
from fleet_server.domain.evidence import Summary
from fleet_server.services.records.telemetry import WindowRecord, WindowTotals


class Telemetry(Protocol):
    """Windows by (device, spool, seq)."""

    def add(self, windows: Sequence[WindowRecord]) -> None:
        """Store windows, each once."""
        ...

    def totals(self, device_id: str) -> Sequence[WindowTotals]:
        """Add a device's windows up."""
        ...

    def last_digest(
        self, device_id: str, model: str, *, before: datetime, other_than: str = ""
    ) -> str | None:
        """Return what a device ran last before a time."""
        ...

    def last_digests(
        self, device_ids: Iterable[str], model: str, *, since: datetime | None, before: datetime
    ) -> Mapping[str, str]:
        """Return what devices ran last in (since, before], by device."""
        ...

    def summary(
        self, device_id: str, model: str, digest: str, *, since: datetime, until: datetime
    ) -> Summary:
        """Merge windows of one digest that ended in (since, until]."""
        ...

    def summaries(
        self, device_ids: Iterable[str], model: str, *, since: datetime, until: datetime
    ) -> Mapping[tuple[str, str], Summary]:
        """Merge windows of a model that ended in (since, until], by device and digest."""
        ...

    def neighbours(
        self, device_ids: Iterable[str], model: str, *, since: datetime, until: datetime
    ) -> Mapping[tuple[str, str], Summary]:
        """Merge windows of all other models that ended in (since, until], by device and digest."""
        ...

    def latencies(
        self, device_id: str, model: str, digest: str, *, since: datetime
    ) -> LogHistogram:
        """Merge the latencies of the windows of one digest that ended after a time."""
        ...

    def windows_since(
        self, device_ids: Iterable[str], model: str, since: datetime
    ) -> Mapping[str, int]:
        """Count windows by device; devices without any are left out."""
        ...
