"""The server's part: two keys, and the repository folder that devices read.

    <folder>/metadata/N.root.json N.targets.json N.<model>.json N.snapshot.json timestamp.json

The server signs snapshot and timestamp, checks what people signed, and can sign nothing else.
timestamp.json is written last and atomically: until then devices see the repository as it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from edgekit.durable import locked, make_folder, read_bytes, write_durably
from edgekit.trust.accepting import PublishedSet, check, delegated_models, merge
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

__all__ = ["OnlineKeys", "OnlineRepository"]

_RESTORE_LEAP = 1000
_SERVED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.json")


class OnlineRepository:
    """The metadata folder of a server. Safe to use from several processes at once."""

    def __init__(self, folder: Path, keys: OnlineKeys) -> None:
        self.folder = folder / "metadata"
        self._keys = keys
        make_folder(self.folder)

    @property
    def initialised(self) -> bool:
        """Whether a person has published root and targets here."""
        return (self.folder / f"{TIMESTAMP}.json").exists()

    def read(self, name: str) -> bytes | None:
        """Return a file as devices ask for it, such as `3.root.json`; None if there is none."""
        path = self.folder / name
        if not _SERVED.fullmatch(name) or not path.is_file():
            return None
        return read_bytes(path)

    def current(self, role: str) -> bytes | None:
        """Return the newest metadata of `root`, `targets` or a model; None if there is none.

        People extend and replace what this returns.
        """
        if not self.initialised:
            return None
        return self._state().get(role)

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
            StorageError: The folder cannot be written.
        """
        with locked(self.folder):
            state = self._state() if self.initialised else None
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
                version = Metadata.from_bytes(new[role]).signed.version
                write_durably(self.folder / f"{version}.{role}.json", new[role])
            self._sign(proposed, now, snapshot=True)

    def refresh(self, *, now: datetime) -> bool:
        """Renew timestamp and snapshot when a third of their life or less is left.

        Call it now and then (hourly); it is cheap when nothing is due.

        Returns:
            Whether anything was signed.
        """
        if not self.initialised:
            return False
        with locked(self.folder):
            state = self._state()
            left = self._expiries(state)
            followed = self._follows_root(state)
            snapshot_due = not followed or left[SNAPSHOT] - now <= SNAPSHOT_LIFETIME / 3
            if snapshot_due or left[TIMESTAMP] - now <= TIMESTAMP_LIFETIME / 3:
                self._sign(state, now, snapshot=snapshot_due)
                return True
        return False

    def sign_anew(self, *, now: datetime) -> None:
        """Sign a new snapshot and timestamp over what is published, due or not.

        After a restore: their versions run ahead of the clock, so that they are above all that
        devices have seen. Nothing happens before the first publication.
        """
        if self.initialised:
            least = int(now.timestamp()) + _RESTORE_LEAP
            with locked(self.folder):
                self._sign(self._state(), now, snapshot=True, least=least)

    def days_left(self, *, now: datetime) -> dict[str, float]:
        """Return the days until each role expires; negative when it has. Empty before the first.

        Models whose delegation ended are left out.
        """
        if not self.initialised:
            return {}
        left = self._expiries(self._state())
        return {role: (expires - now) / timedelta(days=1) for role, expires in left.items()}

    def _state(self) -> PublishedSet:
        """Read the published set: from the timestamp to the snapshot to every role in it."""
        timestamp = load(self._read(f"{TIMESTAMP}.json"), Timestamp, where="timestamp").signed
        version = timestamp.snapshot_meta.version
        snapshot = load(self._read(f"{version}.{SNAPSHOT}.json"), Snapshot, where=SNAPSHOT).signed
        return PublishedSet(
            root=self._newest_root(),
            roles={
                name.removesuffix(".json"): self._read(f"{meta.version}.{name}")
                for name, meta in snapshot.meta.items()
            },
            snapshot_version=snapshot.version,
            timestamp_version=timestamp.version,
        )

    def _newest_root(self) -> bytes:
        versions = [
            int(path.name.split(".")[0])
            for path in self.folder.glob("*.root.json")
            if re.fullmatch(r"\d+\.root\.json", path.name)
        ]
        return self._read(f"{max(versions)}.root.json")

    def _read(self, name: str) -> bytes:
        return read_bytes(self.folder / name)

    def _follows_root(self, state: PublishedSet) -> bool:
        """Whether snapshot and timestamp carry signatures that the newest root accepts."""
        root = load(state.root, Root, where=ROOT).signed
        timestamp = load(self._read(f"{TIMESTAMP}.json"), Timestamp, where=TIMESTAMP)
        name = f"{state.snapshot_version}.{SNAPSHOT}.json"
        snapshot = load(self._read(name), Snapshot, where=SNAPSHOT)
        try:
            check_signed(root, TIMESTAMP, timestamp, where=TIMESTAMP)
            check_signed(root, SNAPSHOT, snapshot, where=SNAPSHOT)
        except UntrustedError:
            return False
        return True

    def _sign(self, state: PublishedSet, now: datetime, *, snapshot: bool, least: int = 0) -> None:
        """Write a timestamp, and before it a snapshot if it is to be renewed.

        Versions are at least the Unix time, so that a server restored from a backup does not
        fall behind versions that devices have seen.
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
            write_durably(self.folder / f"{version}.{SNAPSHOT}.json", made.to_bytes())
        signed = self._read(f"{version}.{SNAPSHOT}.json")
        timestamp = Metadata(
            Timestamp(
                version=max(state.timestamp_version + 1, seconds),
                expires=now + TIMESTAMP_LIFETIME,
                snapshot_meta=_meta(signed),
                unrecognized_fields={SIGNED_AT: now.strftime("%Y-%m-%dT%H:%M:%SZ")},
            )
        )
        timestamp.sign(self._keys.timestamp)
        write_durably(self.folder / f"{TIMESTAMP}.json", timestamp.to_bytes())

    def _expiries(self, state: PublishedSet) -> dict[str, datetime]:
        name = f"{state.snapshot_version}.{SNAPSHOT}.json"
        targets = load(state.roles[TARGETS], Targets, where=TARGETS).signed
        counted = {TARGETS, *delegated_models(targets)}
        files = {
            ROOT: state.root,
            **{role: data for role, data in state.roles.items() if role in counted},
            SNAPSHOT: self._read(name),
            TIMESTAMP: self._read(f"{TIMESTAMP}.json"),
        }
        return {role: Metadata.from_bytes(data).signed.expires for role, data in files.items()}


def _meta(data: bytes) -> MetaFile:
    version = Metadata.from_bytes(data).signed.version
    return MetaFile(version, len(data), {"sha256": digest(data)})
