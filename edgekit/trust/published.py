"""What a server has published, within one transaction: read whole, and signed by its two keys.

    N.root.json N.targets.json N.<model>.json N.snapshot.json timestamp.json

Where these files lie is the business of a `MetadataStore`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from edgekit.errors import StorageError
from edgekit.trust.accepting import PublishedSet, delegated_models
from edgekit.trust.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    Targets,
    Timestamp,
    check_signed,
    digest,
    load,
)
from edgekit.trust.onlinekeys import OnlineKeys
from edgekit.trust.policy import (
    ROOT,
    SIGNED_AT,
    SNAPSHOT,
    SNAPSHOT_LIFETIME,
    TARGETS,
    TIMESTAMP,
    TIMESTAMP_LIFETIME,
)
from edgekit.trust.reasons import UntrustedError

_TIMESTAMP_FILE = f"{TIMESTAMP}.json"


class MetadataFiles(Protocol):
    """Metadata by file name, within one transaction."""

    def get(self, name: str) -> bytes | None:
        """Return a file; None if there is none."""
        ...

    def put(self, name: str, data: bytes) -> None:
        """Add or replace a file."""
        ...

    def names(self, ending: str) -> Sequence[str]:
        """Return the names that end so."""
        ...


class MetadataStore(Protocol):
    """Transactions over metadata, for several processes at once."""

    def reading(self) -> AbstractContextManager[MetadataFiles]:
        """Begin to read one consistent state."""
        ...

    def changing(self) -> AbstractContextManager[MetadataFiles]:
        """Begin to change it: one process at a time, and nobody sees the half of it."""
        ...


class Published:
    """The published set of one transaction."""

    def __init__(self, files: MetadataFiles, keys: OnlineKeys) -> None:
        self._files = files
        self._keys = keys

    @property
    def initialised(self) -> bool:
        """Whether a person has published root and targets."""
        return self._files.get(_TIMESTAMP_FILE) is not None

    def state(self) -> PublishedSet:
        """Read the published set: from the timestamp to the snapshot to every role in it.

        Raises:
            StorageError: A file is missing.
        """
        timestamp = load(self._read(_TIMESTAMP_FILE), Timestamp, where=TIMESTAMP).signed
        snapshot = self._snapshot(timestamp.snapshot_meta.version).signed
        return PublishedSet(
            root=self._newest_root(),
            roles={
                name.removesuffix(".json"): self._read(f"{meta.version}.{name}")
                for name, meta in snapshot.meta.items()
            },
            snapshot_version=snapshot.version,
            timestamp_version=timestamp.version,
        )

    def follows_root(self, state: PublishedSet) -> bool:
        """Whether snapshot and timestamp carry signatures that the newest root accepts."""
        root = load(state.root, Root, where=ROOT).signed
        timestamp = load(self._read(_TIMESTAMP_FILE), Timestamp, where=TIMESTAMP)
        try:
            check_signed(root, TIMESTAMP, timestamp, where=TIMESTAMP)
            check_signed(root, SNAPSHOT, self._snapshot(state.snapshot_version), where=SNAPSHOT)
        except UntrustedError:
            return False
        return True

    def expiries(self, state: PublishedSet) -> dict[str, datetime]:
        """Return when each role expires; models whose delegation ended are left out."""
        targets = load(state.roles[TARGETS], Targets, where=TARGETS).signed
        counted = {TARGETS, *delegated_models(targets)}
        files = {
            ROOT: state.root,
            **{role: data for role, data in state.roles.items() if role in counted},
            SNAPSHOT: self._read(_snapshot_file(state.snapshot_version)),
            TIMESTAMP: self._read(_TIMESTAMP_FILE),
        }
        return {role: Metadata.from_bytes(data).signed.expires for role, data in files.items()}

    def add(self, role: str, data: bytes) -> None:
        """Keep what people signed; devices see it when a timestamp leads there."""
        version = Metadata.from_bytes(data).signed.version
        self._files.put(f"{version}.{role}.json", data)

    def sign(self, state: PublishedSet, now: datetime, *, snapshot: bool, least: int = 0) -> None:
        """Write a timestamp, and before it a snapshot if it is to be renewed.

        Versions are at least the Unix time, so that a server restored from a backup does not
        fall behind versions that devices have seen.

        Args:
            state: What devices shall see.
            now: Current time, UTC.
            snapshot: Whether the snapshot is to be renewed.
            least: Smallest version that may be given.
        """
        seconds = max(least, int(now.timestamp()))
        version = state.snapshot_version
        if snapshot:
            version = max(version + 1, seconds)
            made = Metadata(
                Snapshot(
                    version=version,
                    expires=now + SNAPSHOT_LIFETIME,
                    meta={f"{role}.json": _meta(data) for role, data in state.roles.items()},
                )
            )
            made.sign(self._keys.snapshot)
            self._files.put(_snapshot_file(version), made.to_bytes())
        timestamp = Metadata(
            Timestamp(
                version=max(state.timestamp_version + 1, seconds),
                expires=now + TIMESTAMP_LIFETIME,
                snapshot_meta=_meta(self._read(_snapshot_file(version))),
                unrecognized_fields={SIGNED_AT: now.strftime("%Y-%m-%dT%H:%M:%SZ")},
            )
        )
        timestamp.sign(self._keys.timestamp)
        self._files.put(_TIMESTAMP_FILE, timestamp.to_bytes())

    def _newest_root(self) -> bytes:
        versions = [name.partition(".")[0] for name in self._files.names(f".{ROOT}.json")]
        return self._read(f"{max(int(v) for v in versions if v.isdecimal())}.{ROOT}.json")

    def _snapshot(self, version: int) -> Metadata[Snapshot]:
        return load(self._read(_snapshot_file(version)), Snapshot, where=SNAPSHOT)

    def _read(self, name: str) -> bytes:
        data = self._files.get(name)
        if data is None:
            raise StorageError("metadata is missing", where=name, todo="restore a backup")
        return data


def _snapshot_file(version: int) -> str:
    return f"{version}.{SNAPSHOT}.json"


def _meta(data: bytes) -> MetaFile:
    version = Metadata.from_bytes(data).signed.version
    return MetaFile(version, len(data), {"sha256": digest(data)})
