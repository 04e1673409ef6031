"""Answers to polls, ready to be sent, until something about them changes.

In memory, one for each process. What changed is read from the database's numbered list: at once
after a commit of this process, and every second for those of others. Knows no HTTP.
"""

from __future__ import annotations

import hmac
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from fleet_server.services.ports.database import Database


@dataclass(frozen=True, slots=True)
class Seat:
    """One device's answer.

    Attributes:
        token: SHA-256 of the device's token, hex.
        asked: What else of the request the answer depends on: scheme, and headers as sent.
        body: The answer.
        version: Number of the latest change that it knows.
    """

    token: str
    asked: tuple[bytes, ...]
    body: bytes
    version: int


class Board:
    """Seats by device id, and who polled since the last flush. Safe from several threads.

    Args:
        database: Where changes are read.
        seen_every_s: A device's last poll is handed on at most this often: writing each one down
            was measured to cost half of the polls a second.
    """

    def __init__(self, database: Database, *, seen_every_s: float = 0.0) -> None:
        self._database = database
        self._seen_every = timedelta(seconds=seen_every_s)
        self._told: dict[str, datetime] = {}
        self._seats: dict[str, Seat] = {}
        self._passes: dict[str, tuple[bytes, int]] = {}
        self._version = -1
        self._commits = -1
        self._lock = threading.Lock()
        self._seen: dict[str, datetime] = {}

    @property
    def is_stale(self) -> bool:
        """Whether this process committed something that was not read yet."""
        return self._commits != self._database.commits

    @property
    def seats(self) -> int:
        """How many answers are kept."""
        return len(self._seats)

    def find(self, device_id: str) -> Seat | None:
        """Return a device's answer; None when it has to be made anew."""
        return self._seats.get(device_id)

    def put(self, device_id: str, seat: Seat) -> None:
        """Keep an answer, unless a change overtook it."""
        with self._lock:
            if seat.version >= self._version:
                self._seats[device_id] = seat

    @property
    def version(self) -> int:
        """Number of the latest change that was read."""
        return self._version

    def passes(self, device_id: str, shown: bytes) -> bool:
        """Say whether a token was checked since the device changed; `shown` is its digest."""
        known = self._passes.get(device_id)
        return known is not None and hmac.compare_digest(known[0], shown)

    def let_pass(self, device_id: str, shown: bytes, version: int) -> None:
        """Remember that a token was checked, unless a change overtook the check."""
        with self._lock:
            if version >= self._version:
                self._passes[device_id] = (shown, version)

    def refresh(self) -> None:
        """Read what changed and forget the answers that it touches."""
        with self._lock:
            commits = self._database.commits
            with self._database.read() as tables:
                latest = tables.changes.version()
                changes = tables.changes.since(self._version) if self._version >= 0 else []
            if self._version < 0 or len(changes) != latest - self._version:
                self._passes.clear()
                self._seats.clear()  # first look, or so far behind that numbers are gone
            for number, device_id in changes:
                self._forget(number, device_id)
            self._version, self._commits = latest, commits

    def mark_seen(self, device_id: str, at: datetime) -> None:
        """Remember that a device was here."""
        self._seen[device_id] = at

    def take_seen(self, *, last: bool = False) -> dict[str, datetime]:
        """Return who was here and is to be written down.

        Args:
            last: All of them, because the server stops.
        """
        seen, self._seen = self._seen, {}
        due = {
            device_id: at
            for device_id, at in seen.items()
            if last or not _is_recent(self._told.get(device_id), at, self._seen_every)
        }
        self._told.update(due)
        for device_id in seen.keys() - due.keys():
            self._seen.setdefault(device_id, seen[device_id])
        return due

    def _forget(self, number: int, device_id: str | None) -> None:
        if device_id is None:
            self._seats = {d: s for d, s in self._seats.items() if s.version >= number}
            return
        self._passes.pop(device_id, None)
        seat = self._seats.get(device_id)
        if seat is not None and seat.version < number:
            del self._seats[device_id]


def _is_recent(told: datetime | None, at: datetime, every: timedelta) -> bool:
    """Whether a device was written down less than `every` ago; a clock that stepped back is not."""
    return told is not None and timedelta() <= at - told < every
