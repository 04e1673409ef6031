"""The server's part: it checks what people signed, and signs snapshot and timestamp over it.

It can sign nothing else. Everything that one call changes becomes visible to devices at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from edgekit.trust.accepting import check, merge
from edgekit.trust.onlinekeys import OnlineKeys
from edgekit.trust.policy import (
    ROOT,
    SNAPSHOT,
    SNAPSHOT_LIFETIME,
    TIMESTAMP,
    TIMESTAMP_LIFETIME,
)
from edgekit.trust.published import MetadataFiles, MetadataStore, Published

__all__ = ["OnlineKeys", "OnlineRepository"]

_RESTORE_LEAP = 1000
_SERVED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.json")


class OnlineRepository:
    """The metadata of a server. Safe to use from several processes at once."""

    def __init__(self, store: MetadataStore, keys: OnlineKeys) -> None:
        self._store = store
        self._keys = keys

    @property
    def initialised(self) -> bool:
        """Whether a person has published root and targets here."""
        with self._store.reading() as files:
            return self._published(files).initialised

    def read(self, name: str) -> bytes | None:
        """Return a file as devices ask for it, such as `3.root.json`; None if there is none."""
        if not _SERVED.fullmatch(name):
            return None
        with self._store.reading() as files:
            return files.get(name)

    def current(self, role: str) -> bytes | None:
        """Return the newest metadata of `root`, `targets` or a model; None if there is none.

        People extend and replace what this returns.
        """
        with self._store.reading() as files:
            published = self._published(files)
            return published.state().get(role) if published.initialised else None

    def publish(self, files: Mapping[str, bytes], *, now: datetime) -> None:
        """Check what people signed, store it and sign a snapshot and a timestamp over it.

        All of it becomes visible to devices at once, or nothing does. Publishing bytes that are
        current already changes nothing.

        Args:
            files: Metadata by role: "root", "targets" or a model name. The first call needs root
                and targets.
            now: Current time, UTC.

        Raises:
            UntrustedError: A signature is missing or wrong, or a date has passed.
            ConflictError: It was not made from what is current: somebody published in between.
            TrustError: The root names other online keys than this server's.
            StorageError: It cannot be written.
        """
        with self._store.changing() as stored:
            published = self._published(stored)
            state = published.state() if published.initialised else None
            proposed = merge(state, files)
            new = {
                role: data
                for role, data in files.items()
                if state is None or data != state.get(role)
            }
            if not new:
                return
            check(proposed, new, state, online=self._keys.public(), now=now)
            for role in sorted(new, key=lambda name: name == ROOT):
                published.add(role, new[role])
            published.sign(proposed, now, snapshot=True)

    def refresh(self, *, now: datetime) -> bool:
        """Renew timestamp and snapshot when a third of their life or less is left.

        Also when more is left than they are given: then they were signed by a clock that was ahead.

        Call it now and then (hourly); it is cheap when nothing is due.

        Returns:
            Whether anything was signed.
        """
        if not self.initialised:
            return False
        with self._store.changing() as files:
            published = self._published(files)
            state = published.state()
            left = published.expiries(state)
            followed = published.follows_root(state)
            snapshot_due = not followed or _is_due(left[SNAPSHOT] - now, SNAPSHOT_LIFETIME)
            if snapshot_due or _is_due(left[TIMESTAMP] - now, TIMESTAMP_LIFETIME):
                published.sign(state, now, snapshot=snapshot_due)
                return True
        return False

    def sign_anew(self, *, now: datetime) -> None:
        """Sign a new snapshot and timestamp over what is published, due or not.

        After a restore: their versions run ahead of the clock, so that they are above all that
        devices have seen. Nothing happens before the first publication.
        """
        least = int(now.timestamp()) + _RESTORE_LEAP
        with self._store.changing() as files:
            published = self._published(files)
            if published.initialised:
                published.sign(published.state(), now, snapshot=True, least=least)

    def days_left(self, *, now: datetime) -> dict[str, float]:
        """Return the days until each role expires; negative when it has. Empty before the first.

        Models whose delegation ended are left out.
        """
        with self._store.reading() as files:
            published = self._published(files)
            if not published.initialised:
                return {}
            left = published.expiries(published.state())
        return {role: (expires - now) / timedelta(days=1) for role, expires in left.items()}

    def _published(self, files: MetadataFiles) -> Published:
        return Published(files, self._keys)


def _is_due(left: timedelta, lifetime: timedelta) -> bool:
    return not lifetime / 3 < left <= lifetime * 4 / 3
