"""What happened and what is wrong now: events for people and machines, and alarms.

An alarm stays until what raised it is over; both its ends are events, so that a webhook hears of
them. Who writes an event does so in the transaction of what made it happen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from edgekit import codec
from edgekit.client.wire.events import AlarmView, EventView
from fleet_server.domain.events import EventKind
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.records.events import AlarmRecord, EventRecord

MAX_EVENTS = 1000
KEPT = timedelta(days=90)


class EventService:
    """Answers what happened, and keeps alarms up to date."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self, *, before: int | None, device: str, limit: int) -> list[EventView]:
        """Return events, newest first."""
        with self._database.read() as tables:
            found = tables.events.newest(before=before, device=device, limit=min(limit, MAX_EVENTS))
        return [_event_view(event) for event in found]

    def alarms(self) -> list[AlarmView]:
        """Return every alarm that is not over, oldest first."""
        with self._database.read() as tables:
            return [_alarm_view(alarm) for alarm in tables.alarms.all()]

    def watch(self, kind: str, seen: Iterable[AlarmRecord], *, now: datetime) -> None:
        """Raise the alarms of a kind that are new, and clear those that are over; durable.

        Args:
            kind: Of all alarms that are meant.
            seen: Everything of that kind that is wrong now.
            now: Current time, UTC.
        """
        wrong = {(alarm.device, alarm.digest): alarm for alarm in seen}
        with self._database.read() as tables:
            known = _known(tables, kind)
        if known.keys() == wrong.keys():
            return
        with self._database.write() as tables:
            known = _known(tables, kind)
            for key in wrong.keys() - known.keys():
                raised = replace(wrong[key], kind=kind, raised_at=now)
                tables.alarms.put(raised)
                tables.events.tell(_told(raised, EventKind.ALARM_RAISED, raised.text, now=now))
            for key in known.keys() - wrong.keys():
                over = known[key]
                tables.alarms.drop(over)
                text = f"Over: {over.text}"
                tables.events.tell(_told(over, EventKind.ALARM_CLEARED, text, now=now))

    def forget(self, *, now: datetime) -> None:
        """Forget old events."""
        with self._database.write() as tables:
            tables.events.forget_before(now - KEPT)


def _known(tables: Tables, kind: str) -> dict[tuple[str, str], AlarmRecord]:
    return {(a.device, a.digest): a for a in tables.alarms.all() if a.kind == kind}


def _told(alarm: AlarmRecord, kind: EventKind, text: str, *, now: datetime) -> EventRecord:
    return EventRecord(
        at=now,
        kind=kind.value,
        text=text,
        device=alarm.device,
        model=alarm.model,
        version=alarm.version,
        body={"alarm": alarm.kind, "digest": alarm.digest, **alarm.body},
    )


def _event_view(event: EventRecord) -> EventView:
    return codec.convert(codec.plain(event), EventView, where="event")


def _alarm_view(alarm: AlarmRecord) -> AlarmView:
    return AlarmView(
        device=alarm.device,
        model=alarm.model,
        version=alarm.version,
        digest=alarm.digest,
        kind=alarm.kind,
        since=alarm.raised_at.isoformat(),
        text=alarm.text,
    )
