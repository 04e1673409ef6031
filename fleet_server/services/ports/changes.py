"""What the use cases need of storage to notice changes and turn switches of the whole fleet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fleet_server.services.records.flags import FlagRecord


class Changes(Protocol):
    """A numbered list of what may change a device's answer, so that every process notices."""

    def record(self, device_id: str | None) -> None:
        """Say that the answer to a device, or (None) to any, may change."""
        ...

    def version(self) -> int:
        """Return the number of the latest change."""
        ...

    def last_for_all(self) -> int:
        """Return the number of the latest change that concerns all."""
        ...

    def since(self, version: int) -> Sequence[tuple[int, str | None]]:
        """Return the changes after a number, in order."""
        ...

    def forget_before(self, version: int) -> None:
        """Delete old changes of single devices."""
        ...


class Flags(Protocol):
    """Switches of the whole fleet."""

    def get(self, name: str) -> FlagRecord | None:
        """Return a flag."""
        ...

    def put(self, record: FlagRecord) -> None:
        """Set a flag."""
        ...
