"""Switches of the whole fleet in SQL."""

from __future__ import annotations

from sqlalchemy import Connection, select

from fleet_server.services.records.flags import FlagRecord
from fleet_server.store import schema
from fleet_server.store.dialects import insert_or_update


class SqlFlags:
    """Flags within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, name: str) -> FlagRecord | None:
        """Return a flag by name."""
        table = schema.flags
        row = self._connection.execute(select(table).where(table.c.name == name)).mappings().first()
        return None if row is None else FlagRecord(**row)

    def put(self, record: FlagRecord) -> None:
        """Set a flag."""
        row = {"name": record.name, "value": record.value, "by": record.by, "at": record.at}
        insert_or_update(self._connection, schema.flags, row)
