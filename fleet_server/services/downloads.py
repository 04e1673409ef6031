"""How many devices of one site download at the same time: slots in the database, for all processes.

A slot ends by itself: it is renewed while bytes flow, given back with the last bytes, and kept for
a while after a connection that broke, so that a device that resumes finds its place.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from fleet_server.services.ports.database import Database
from fleet_server.services.records.devices import DeviceRecord

SITE = "site"
"""Label that says where a device stands; one without it needs no slot."""

LEASE = timedelta(seconds=60)


class DownloadService:
    """Gives and takes slots.

    Args:
        database: Where slots are, the same for all processes.
        per_site: Slots of each site; 0 is no limit.
    """

    def __init__(self, database: Database, *, per_site: int) -> None:
        self._database = database
        self._per_site = per_site

    def needs_slot(self, device: DeviceRecord) -> bool:
        """Say whether a device may download only with a slot."""
        return self._per_site > 0 and bool(device.labels.get(SITE))

    def take(self, device: DeviceRecord, *, now: datetime) -> bool:
        """Give a device a slot, or prolong the one that it has; False when its site has none left.

        A slot that ends later than one given now can only come from a clock that was ahead.
        """
        site = device.labels[SITE]
        with self._database.write() as tables:
            slots = tables.download_slots
            slots.clear(keep_after=now, keep_until=now + LEASE)
            if slots.others(site, device.id) >= self._per_site:
                return False
            slots.put(site, device.id, now + LEASE)
        return True

    def leave(self, device: DeviceRecord) -> None:
        """Take a device's slot."""
        with self._database.write() as tables:
            tables.download_slots.drop(device.id)
