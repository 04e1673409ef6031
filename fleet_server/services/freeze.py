"""The switch that stops every offer of the fleet at once."""

from __future__ import annotations

import logging
from datetime import datetime

from edgekit import codec
from edgekit.client.wire.server import FreezeView
from fleet_server.domain.events import EventKind
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.records.events import EventRecord
from fleet_server.services.records.flags import FlagRecord

logger = logging.getLogger(__name__)

FLAG = "frozen"


class FreezeService:
    """Freezes and unfreezes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self) -> FreezeView:
        """Return whether offers are stopped, since when and by whom."""
        with self._database.read() as tables:
            return freeze_view(tables.flags.get(FLAG))

    def put(self, wanted: FreezeView, *, by: str, now: datetime) -> FreezeView:
        """Stop every offer, or offer again; durable on return, in force within a second."""
        value = codec.encode({"frozen": wanted.frozen, "reason": wanted.reason}).decode()
        record = FlagRecord(name=FLAG, value=value, by=by, at=now)
        with self._database.write() as tables:
            before = freeze_view(tables.flags.get(FLAG)).frozen
            tables.flags.put(record)
            if before != wanted.frozen:
                tables.events.tell(_event(wanted, by=by, now=now))
            tables.changes.record(None)
        fields = {"frozen": wanted.frozen, "by": by, "reason": wanted.reason}
        logger.warning("fleet freeze", extra={"fields": fields})
        return freeze_view(record)


def is_frozen(tables: Tables) -> bool:
    """Say whether every offer is stopped."""
    return freeze_view(tables.flags.get(FLAG)).frozen


def _event(wanted: FreezeView, *, by: str, now: datetime) -> EventRecord:
    kind = EventKind.FLEET_FROZEN if wanted.frozen else EventKind.FLEET_UNFROZEN
    why = f": {wanted.reason}" if wanted.reason else "."
    return EventRecord(
        at=now,
        kind=kind.value,
        text=f"{'Every offer is stopped' if wanted.frozen else 'Offers go on'} by {by}{why}",
        by=by,
        body={"reason": wanted.reason},
    )


def freeze_view(record: FlagRecord | None) -> FreezeView:
    """Return what a flag says."""
    if record is None:
        return FreezeView(frozen=False)
    said = codec.decode(record.value, dict[str, object], where="flag")
    return FreezeView(
        frozen=said.get("frozen") is True,
        reason=str(said.get("reason", "")),
        by=record.by,
        at=record.at.isoformat(),
    )
