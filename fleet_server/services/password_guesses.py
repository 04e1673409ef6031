"""How long somebody who guesses passwords has to wait: counted in memory, with the time given.

Counted for a name at an address, for an address whatever the name, and for a name wherever from,
each with its own patience: a stranger's guesses elsewhere do not soon lock a person out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

FREE_HERE, FREE_ADDRESS, FREE_NAME = 5, 20, 100
"""Wrong guesses without a wait: of a name at an address, of an address, of a name."""

FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(hours=1)
_MOST_KEPT = 50_000
_MOST_DOUBLINGS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tally:
    wrong: int
    at: datetime


class Guesses:
    """Counts wrong guesses of one process; bounded, and forgets after an hour."""

    def __init__(self) -> None:
        self._tallies: OrderedDict[tuple[str, ...], _Tally] = OrderedDict()

    def wait_s(self, name: str, address: str, *, now: datetime) -> float:
        """Return how many seconds are left before the next guess is looked at; 0 for none."""
        waits = [self._wait(key, free, now) for key, free in _keys(name, address)]
        return max(0.0, *waits)

    def was_wrong(self, name: str, address: str, *, now: datetime) -> None:
        """Count a wrong guess; each beyond the free ones doubles the wait."""
        for key, _ in _keys(name, address):
            known = self._tallies.pop(key, None)
            fresh = known is None or now - known.at > FORGOTTEN_AFTER
            wrong = 1 if known is None or fresh else known.wrong + 1
            self._tallies[key] = _Tally(wrong=wrong, at=now)
        while len(self._tallies) > _MOST_KEPT:
            self._tallies.popitem(last=False)

    def was_right(self, name: str, address: str) -> None:
        """Forget what this name got wrong at this address."""
        self._tallies.pop(next(_keys(name, address))[0], None)

    def _wait(self, key: tuple[str, ...], free: int, now: datetime) -> float:
        tally = self._tallies.get(key)
        if tally is None or tally.wrong < free or now - tally.at > FORGOTTEN_AFTER:
            return 0.0
        doublings = min(tally.wrong - free, _MOST_DOUBLINGS)
        wait = min(FIRST_WAIT * (1 << doublings), LONGEST_WAIT)
        left: timedelta = min(tally.at, now) + wait - now
        return left.total_seconds()


def _keys(name: str, address: str) -> Iterator[tuple[tuple[str, ...], int]]:
    yield ("here", name, address), FREE_HERE
    yield ("address", address), FREE_ADDRESS
    yield ("name", name), FREE_NAME
