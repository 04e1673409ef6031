"""Which bundles and deltas nobody needs any more. Pure: deletes nothing.

A bundle stays while one of these holds:

- its release is listed: devices may be offered it, forwards or back;
- a device runs it, is being updated to it, or committed it among its last commits;
- a benchmark waits for it;
- no release names it and it is young: its release may be about to be published.

A delta stays while its target can still be offered and its base is a bundle that stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

COMMITS = 3
"""So many commits of a device and model are remembered as what it may hold or return to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A bundle that lies in the store.

    Attributes:
        digest: SHA-256, hex.
        size: Bytes.
        stored_at: UTC.
    """

    digest: str
    size: int
    stored_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Who needs which bundles, as digests.

    Attributes:
        named: Of every release, whatever its state.
        listed: Of releases that may be offered.
        running: What devices say that they run.
        going: Of deployments that have not ended.
        committed: Of the last commits of every device that is not revoked.
        measured: Of benchmarks that wait.
    """

    named: frozenset[str] = frozenset()
    listed: frozenset[str] = frozenset()
    running: frozenset[str] = frozenset()
    going: frozenset[str] = frozenset()
    committed: frozenset[str] = frozenset()
    measured: frozenset[str] = frozenset()

    @property
    def needed(self) -> frozenset[str]:
        """Everything that somebody needs."""
        return self.listed | self.running | self.going | self.committed | self.measured


def garbage(
    stored: Iterable[Stored], use: Use, *, now: datetime, patience: timedelta
) -> list[Stored]:
    """Return the bundles that nobody needs.

    Args:
        stored: What is there.
        use: Who needs what.
        now: Current time, UTC.
        patience: How old a bundle is at least that no release names.
    """
    needed = use.needed
    return [
        blob
        for blob in stored
        if blob.digest not in needed
        and (blob.digest in use.named or now - blob.stored_at >= patience)
    ]


def garbage_deltas(
    pairs: Iterable[tuple[str, str]], use: Use, stays: frozenset[str]
) -> list[tuple[str, str]]:
    """Return the deltas, as (base, target), that nobody can be given any more.

    Args:
        pairs: What is there.
        use: Who needs what.
        stays: Bundles that are there and are not taken away.
    """
    offered = (use.listed | use.going) & stays
    return [(old, new) for old, new in pairs if new not in offered or old not in stays]
