"""Events and alarms in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select

from fleet_server.services.records.events import AlarmRecord, EventRecord
from fleet_server.store.dialects import insert_or_update
from fleet_server.store.schema import alarms, events

_EVENT_FIELDS = tuple(field.name for field in fields(EventRecord))
_ALARM_FIELDS = tuple(field.name for field in fields(AlarmRecord))


class SqlEvents:
    """Events within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def tell(self, event: EventRecord) -> None:
        """Add an event."""
        row = {name: getattr(event, name) for name in _EVENT_FIELDS if name != "id"}
        self._connection.execute(insert(events).values(row))

    def latest(self) -> int:
        """Return the number of the latest event; 0 when there is none."""
        query = select(func.coalesce(func.max(events.c.id), 0))
        return int(self._connection.execute(query).scalar_one())

    def after(self, cursor: int, *, limit: int) -> Sequence[EventRecord]:
        """Return events after a number, in order."""
        query = select(events).where(events.c.id > cursor).order_by(events.c.id).limit(limit)
        return [EventRecord(**row) for row in self._connection.execute(query).mappings()]

    def newest(self, *, before: int | None, device: str, limit: int) -> Sequence[EventRecord]:
        """Return events, newest first, of one device or ("") of all."""
        query = select(events).order_by(events.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(events.c.id < before)
        if device:
            query = query.where(events.c.device == device)
        return [EventRecord(**row) for row in self._connection.execute(query).mappings()]

    def forget_before(self, at: datetime) -> None:
        """Delete old events."""
        self._connection.execute(delete(events).where(events.c.at < at))


class SqlAlarms:
    """Alarms within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> Sequence[AlarmRecord]:
        """Return every alarm, oldest first."""
        query = select(alarms).order_by(alarms.c.raised_at, alarms.c.device, alarms.c.kind)
        return [AlarmRecord(**row) for row in self._connection.execute(query).mappings()]

    def put(self, alarm: AlarmRecord) -> None:
        """Add or replace an alarm."""
        row = {name: getattr(alarm, name) for name in _ALARM_FIELDS}
        insert_or_update(self._connection, alarms, row)

    def drop(self, alarm: AlarmRecord) -> None:
        """Forget an alarm."""
        table = alarms
        self._connection.execute(
            delete(table).where(
                table.c.device == alarm.device,
                table.c.digest == alarm.digest,
                table.c.kind == alarm.kind,
            )
        )
