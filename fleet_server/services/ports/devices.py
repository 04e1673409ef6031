"""What the use cases need of storage for devices and the tokens that let them in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from fleet_server.domain.selector import Selector
from fleet_server.services.records.devices import DeviceRecord, EnrolmentRecord, Member


class Devices(Protocol):
    """Devices by id."""

    def get(self, device_id: str) -> DeviceRecord | None:
        """Return a device by id."""
        ...

    def put(self, device: DeviceRecord) -> None:
        """Add or replace a device."""
        ...

    def some(self, device_ids: Iterable[str]) -> Mapping[str, DeviceRecord]:
        """Return devices by id; unknown ids are left out."""
        ...

    def page(self, *, selector: Selector, after: str, limit: int | None) -> Sequence[DeviceRecord]:
        """Return devices whose labels match, by id, behind `after`."""
        ...

    def kinds(self) -> Sequence[DeviceRecord]:
        """Return one device of each kind."""
        ...

    def members(
        self,
        kinds: Collection[str],
        cells: Collection[int],
        *,
        selector: Selector,
        unpinned: str,
    ) -> Sequence[Member]:
        """Return the active devices of some kinds in some cells of the fleet.

        Args:
            kinds: As devices have them.
            cells: Parts of the fleet.
            selector: Of their labels.
            unpinned: A model; who has a pinned version of it is left out.
        """
        ...

    def count(self) -> int:
        """Return how many devices there are."""
        ...

    def seen(self, times: Mapping[str, datetime]) -> None:
        """Set the time of the last poll."""
        ...


class Tokens(Protocol):
    """Digests of tokens; the tokens themselves are never stored."""

    def enrolment(self, token_sha256: str) -> EnrolmentRecord | None:
        """Return an enrolment token."""
        ...

    def put_enrolment(self, record: EnrolmentRecord) -> None:
        """Add or replace an enrolment token."""
        ...

    def drop_enrolments(self, ended_by: datetime) -> None:
        """Forget the enrolment tokens whose life was over at a time."""
        ...

    def gateway(self, token_sha256: str) -> str | None:
        """Return a gateway's name."""
        ...

    def put_gateway(self, token_sha256: str, name: str, *, now: datetime) -> None:
        """Add a gateway's token."""
        ...

    def drop_gateway(self, name: str) -> int:
        """Forget a gateway's tokens; returns how many there were."""
        ...
