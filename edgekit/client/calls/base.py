"""What every part of FleetClient stands on: the connection, paths, and lists page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar
from urllib.parse import quote

from edgekit.client.connection import Connection

T = TypeVar("T")

API = "/api/v1"
PAGE_DEVICES = 500
PAGE_ENTRIES = 200
PAGE_LINES = 1000


class Calls:
    """Methods of FleetClient about one subject; not for use alone."""

    _connection: Connection

    def _paged(self, kind: type[T], path: str, cursor: Callable[[T], str]) -> Iterator[T]:
        """Yield a list page by page, as long as the server names a next one."""
        query: dict[str, str | int] = {"limit": PAGE_ENTRIES}
        while True:
            page, headers = self._connection.read(list[kind], path, query=query)  # type: ignore[valid-type]
            yield from page
            if 'rel="next"' not in headers.get("Link", "") or not page:
                return
            query["after"] = cursor(page[-1])


def device_path(device: str) -> str:
    """Return the path of a device."""
    return f"{API}/devices/{quote(device, safe='')}"
