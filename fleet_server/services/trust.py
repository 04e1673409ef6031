"""Signed metadata: what people bring is checked by edgekit.trust, stored, and served.

The first root waits here until the first targets come, because devices can only use both.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from edgekit.client.wire.trust import OnlineKeys as OnlineKeysView
from edgekit.client.wire.trust import TrustView
from edgekit.errors import ConflictError
from edgekit.trust.keys import PublicKey
from edgekit.trust.metadata import Metadata, Root, check_alive, check_signed, digest, load
from edgekit.trust.online import OnlineKeys, OnlineRepository
from edgekit.trust.policy import ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from edgekit.trust.published import MetadataFiles
from fleet_server.services.ports.database import Database

logger = logging.getLogger(__name__)

WAITING_ROOT = "waiting"
"""Name of the first root until targets come; none that a device can ask for."""


class _Store:
    """The metadata of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def reading(self) -> Iterator[MetadataFiles]:
        with self._database.read() as tables:
            yield tables.trust_files

    @contextmanager
    def changing(self) -> Iterator[MetadataFiles]:
        with self._database.write() as tables:
            yield tables.trust_files


class TrustService:
    """The server's side of trust over one database."""

    def __init__(self, database: Database, keys: OnlineKeys) -> None:
        self._store = _Store(database)
        self._repository = OnlineRepository(self._store, keys)
        self._keys = keys

    def online_keys(self) -> OnlineKeysView:
        """Return the public keys that root metadata has to name."""
        public = self._keys.public()
        return OnlineKeysView(
            keys={SNAPSHOT: _key(public.snapshot), TIMESTAMP: _key(public.timestamp)}
        )

    def current(self, role: str) -> bytes | None:
        """Return the newest metadata of a role, as people extend it; None if there is none."""
        return self._repository.current(role)

    def latest(self, role: str) -> bytes | None:
        """Return what `current` does, and before the first targets the root that waits for them."""
        if role == ROOT and (waiting := self._waiting()) is not None:
            return waiting
        return self._repository.current(role)

    def file(self, name: str) -> bytes | None:
        """Return a file as devices ask for it; None if there is none of that name."""
        return self._repository.read(name)

    def put_root(self, metadata: bytes, *, now: datetime) -> None:
        """Take a root: at once, or the very first when targets come.

        Raises:
            TrustError: It is not signed by its own keys, is expired, or does not follow.
        """
        if self._repository.initialised:
            self._repository.publish({ROOT: metadata}, now=now)
        else:
            root = load(metadata, Root, where=ROOT)
            check_signed(root.signed, ROOT, root, where=ROOT)
            check_alive(root.signed, now=now, where=ROOT)
            with self._store.changing() as files:
                files.put(WAITING_ROOT, metadata)
        logger.info("root metadata taken")

    def put_targets(self, metadata: bytes, *, now: datetime) -> None:
        """Take top-level targets.

        Raises:
            TrustError: A signature is missing or wrong, or a date has passed.
            ConflictError: It was not made from what is current, or there is no root yet.
        """
        files = {TARGETS: metadata}
        if not self._repository.initialised:
            waiting = self._waiting()
            if waiting is None:
                raise ConflictError("there is no root metadata yet", todo="send the root first")
            files[ROOT] = waiting
        self._repository.publish(files, now=now)
        logger.info("targets metadata taken")

    def put_model(self, model: str, metadata: bytes, *, now: datetime) -> None:
        """Take a model's targets.

        Raises:
            TrustError: A signature is missing or wrong, or a date has passed.
            ConflictError: Somebody else published in between.
        """
        self._repository.publish({model: metadata}, now=now)

    def renew(self, *, now: datetime) -> None:
        """Sign snapshot and timestamp anew when a third of their life is left."""
        if self._repository.refresh(now=now):
            logger.info("online metadata renewed")

    def sign_anew(self, *, now: datetime) -> None:
        """Sign snapshot and timestamp anew, due or not."""
        self._repository.sign_anew(now=now)

    def days_left(self, *, now: datetime) -> dict[str, float]:
        """Return the days until each role expires."""
        return self._repository.days_left(now=now)

    def view(self, *, now: datetime) -> TrustView:
        """Return what is served now."""
        days_left = self.days_left(now=now)
        newest = {role: self.current(role) for role in days_left}
        root = newest.get(ROOT)
        return TrustView(
            root_sha256=digest(root) if root else "",
            days_left=days_left,
            versions={
                role: Metadata.from_bytes(data).signed.version
                for role, data in newest.items()
                if data is not None
            },
        )

    def _waiting(self) -> bytes | None:
        """Return the first root while no targets came."""
        if self._repository.initialised:
            return None
        with self._store.reading() as files:
            return files.get(WAITING_ROOT)


def _key(key: PublicKey) -> dict[str, Any]:
    """Return a key in TUF's JSON form with its keyid."""
    return {
        "keyid": key.keyid,
        "keytype": key.keytype,
        "scheme": key.scheme,
        "keyval": {"public": key.public},
    }
