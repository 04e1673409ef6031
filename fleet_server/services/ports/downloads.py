"""What the use cases need of storage about who downloads where."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class DownloadSlots(Protocol):
    """Slots by device; each is of one site and ends by itself."""

    def clear(self, *, keep_after: datetime, keep_until: datetime) -> None:
        """Delete slots that end outside of a span."""
        ...

    def others(self, site: str, device_id: str) -> int:
        """Count the slots of a site that other devices have."""
        ...

    def put(self, site: str, device_id: str, until: datetime) -> None:
        """Give a device its slot."""
        ...

    def drop(self, device_id: str) -> None:
        """Take a device's slot."""
        ...
