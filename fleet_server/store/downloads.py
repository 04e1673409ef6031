"""Download slots of sites in SQL."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, func, not_, select

from fleet_server.store.dialects import insert_or_update
from fleet_server.store.schema import download_slots as slots


class SqlDownloadSlots:
    """Slots within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def clear(self, *, keep_after: datetime, keep_until: datetime) -> None:
        """Delete slots that end outside of a span."""
        ends_within = slots.c.until.between(keep_after, keep_until)
        self._connection.execute(delete(slots).where(not_(ends_within)))

    def others(self, site: str, device_id: str) -> int:
        """Count the slots of a site that other devices have."""
        query = select(func.count()).where(slots.c.site == site, slots.c.device != device_id)
        return int(self._connection.execute(query).scalar_one())

    def put(self, site: str, device_id: str, until: datetime) -> None:
        """Give a device its slot."""
        row = {"device": device_id, "site": site, "until": until}
        insert_or_update(self._connection, slots, row)

    def drop(self, device_id: str) -> None:
        """Take a device's slot."""
        self._connection.execute(delete(slots).where(slots.c.device == device_id))
