"""How often a caller may come: token buckets in bounded memory, by a clock that never steps. Pure.

A bucket is one number, the time at which it would be full again (the virtual scheduling form of
the generic cell rate algorithm; source: ITU-T I.371, annex A). A full bucket needs no memory.
"""

from __future__ import annotations

from collections.abc import Hashable

MOST_KEPT = 100_000
"""Callers that are remembered; beyond them the oldest are forgotten, which only favours them."""


class Allowance:
    """Lets each caller come `burst` times at once and `per_s` times a second in the long run.

    Args:
        per_s: Above 0; 0 lets everybody come at any time.
        burst: At least 1.
        most_kept: Callers that are remembered.
    """

    def __init__(self, *, per_s: float, burst: float, most_kept: int = MOST_KEPT) -> None:
        self._each_s = 1 / per_s if per_s else 0.0
        self._depth_s = burst * self._each_s
        self._most_kept = most_kept
        self._full_at_s: dict[Hashable, float] = {}

    def wait_s(self, caller: Hashable, at_s: float) -> float:
        """Return how long until the caller may come; 0 for now. Counts nothing."""
        full_at_s = self._full_at_s.get(caller, at_s)
        return max(0.0, full_at_s + self._each_s - at_s - self._depth_s)

    def take(self, caller: Hashable, at_s: float) -> float:
        """Count that the caller comes and return 0, or return how long it has to wait."""
        full_at_s = self._full_at_s.get(caller, at_s)
        full_at_s = max(full_at_s, at_s) + self._each_s
        wait_s = full_at_s - at_s - self._depth_s
        if wait_s > 0:
            return wait_s
        self._full_at_s[caller] = full_at_s
        if len(self._full_at_s) > self._most_kept:
            self._forget(at_s)
        return 0.0

    def is_full(self, caller: Hashable, at_s: float) -> bool:
        """Say whether the caller did not come for so long that nothing is held against it."""
        return self._full_at_s.get(caller, at_s) <= at_s

    def _forget(self, at_s: float) -> None:
        """Forget the full buckets; if these were few, also those that were begun first."""
        left = [(caller, full) for caller, full in self._full_at_s.items() if full > at_s]
        self._full_at_s = dict(left[-self._most_kept // 2 :])


class WrongTokens:
    """Makes an address wait that shows one wrong token after another; who was right is let through.

    So a machine with an old token does not shut out its neighbours behind the same address: those
    that were let in before are known, and new ones come in between.
    """

    def __init__(self, *, per_s: float, burst: float, most_kept: int = MOST_KEPT) -> None:
        self._wrong = Allowance(per_s=per_s, burst=burst, most_kept=most_kept)
        self._most_kept = most_kept
        self._right: dict[Hashable, None] = {}
        self._told: set[str] = set()

    def wait_s(self, caller: Hashable, address: str, at_s: float) -> float:
        """Return how long a caller has to wait before its token is looked at; 0 for now."""
        return 0.0 if caller in self._right else self._wrong.wait_s(address, at_s)

    def was_right(self, caller: Hashable) -> None:
        """Remember a caller whose token was accepted."""
        self._right[caller] = None
        if len(self._right) > self._most_kept:
            self._right = dict.fromkeys(list(self._right)[-self._most_kept // 2 :])

    def was_wrong(self, caller: Hashable, address: str, at_s: float) -> bool:
        """Count a wrong token; says whether it is the one with which the waiting begins."""
        self._right.pop(caller, None)
        if self._wrong.is_full(address, at_s):
            self._told.discard(address)
        self._wrong.take(address, at_s)
        if address in self._told or self._wrong.wait_s(address, at_s) == 0:
            return False
        if len(self._told) >= self._most_kept:
            self._told.clear()
        self._told.add(address)
        return True
