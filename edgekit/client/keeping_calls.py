"""The part of the management API's client that keeps a server tidy."""

from __future__ import annotations

from edgekit.client.connection import Connection
from edgekit.client.wire_garbage import GarbageView

API = "/api/v1"


class KeepingCalls:
    """Methods of FleetClient; not for use alone."""

    _connection: Connection

    def garbage(self) -> GarbageView:
        """Return what nobody needs any more; changes nothing."""
        return self._connection.ask(GarbageView, "GET", f"{API}/garbage")

    def collect_garbage(self) -> GarbageView:
        """Take away what nobody needs any more; returns what went."""
        return self._connection.ask(GarbageView, "POST", f"{API}/garbage")
