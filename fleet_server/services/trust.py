"""Signed metadata: what people bring is checked by edgekit.trust, stored, and served.

The first root waits here until the first targets come, because devices can only use both.
"""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from typing import Any

from edgekit.client.wire import OnlineKeys as OnlineKeysView
from edgekit.client.wire import TrustView
from edgekit.durable import write_durably
from edgekit.errors import ConflictError, StorageError
from edgekit.trust.keys import PublicKey
from edgekit.trust.metadata import Metadata, Root, check_alive, check_signed, digest, load
from edgekit.trust.online import OnlineKeys, OnlineRepository
from edgekit.trust.policy import ROOT, SNAPSHOT, TARGETS, TIMESTAMP

logger = logging.getLogger(__name__)


class TrustService:
    """The server's side of trust over one folder."""

    def __init__(self, folder: Path, keys: OnlineKeys) -> None:
        self._repository = OnlineRepository(folder, keys)
        self._keys = keys
        self._waiting = folder / "waiting.root.json"

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
        if role == ROOT and not self._repository.initialised and self._waiting.is_file():
            return self._waiting.read_bytes()
        return self._repository.current(role)

    def file(self, name: str) -> bytes | None:
        """Return a file as devices ask for it; None if there is none of that name."""
        try:
            return self._repository.read(name)
        except StorageError:
            return None

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
            write_durably(self._waiting, metadata)
        logger.info("root metadata taken")

    def put_targets(self, metadata: bytes, *, now: datetime) -> None:
        """Take top-level targets.

        Raises:
            TrustError: A signature is missing or wrong, or a date has passed.
            ConflictError: It was not made from what is current, or there is no root yet.
        """
        files = {TARGETS: metadata}
        if not self._repository.initialised:
            if not self._waiting.is_file():
                raise ConflictError("there is no root metadata yet", todo="send the root first")
            files[ROOT] = self._waiting.read_bytes()
        self._repository.publish(files, now=now)
        self._waiting.unlink(missing_ok=True)
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


def _key(key: PublicKey) -> dict[str, Any]:
    """Return a key in TUF's JSON form with its keyid."""
    return {
        "keyid": key.keyid,
        "keytype": key.keytype,
        "scheme": key.scheme,
        "keyval": {"public": key.public},
    }
