"""The device's part: what the server says is believed only as far as people have signed it.

Meant for a short-lived process (see `edgekit.trust.process`): it imports tuf. It keeps the
trust folder in order and downloads metadata, never targets.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tuf.ngclient.updater import Updater

from edgekit.durable import locked, make_folder, write_durably
from edgekit.trust.cache import Index, TrustCache
from edgekit.trust.client import Fetch, open_updater, tuf_errors
from edgekit.trust.metadata import (
    Metadata,
    Root,
    TargetFile,
    Timestamp,
    check_signed,
    digest,
    load,
)
from edgekit.trust.policy import ROOT, SIGNED_AT, bundle_path
from edgekit.trust.reasons import Reason, UntrustedError
from edgekit.trust.targets import TargetInfo, verify_file

__all__ = ["Clock", "Fetch", "TargetInfo", "TrustStore", "verify_file"]

_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """What the device knows about the time.

    Attributes:
        now: Time of the system clock, UTC.
        synchronised: Whether something (NTP, a GPS) set it since the boot.
    """

    now: datetime
    synchronised: bool


class TrustStore:
    """A device's trust folder. One process at a time works in it; others wait."""

    def __init__(self, folder: Path) -> None:
        self._cache = TrustCache(folder)
        self._where = str(folder)

    def pin(self, root: bytes, *, sha256: str) -> None:
        """Take `root` as the root of trust; for enrolment, or a reset by a person.

        Pinning the same root again keeps what is there; another root replaces everything.

        Args:
            root: Root metadata, any version.
            sha256: Its digest, told to the person by another way than the file itself.

        Raises:
            UntrustedError: Digest or signature are wrong (`mismatch`, `unsigned`, `invalid`).
            StorageError: The folder cannot be written.
        """
        if digest(root) != sha256.lower():
            raise UntrustedError(
                Reason.MISMATCH, f"this root has sha256 {digest(root)}", where=self._where
            )
        metadata = load(root, Root, where=ROOT)
        check_signed(metadata.signed, ROOT, metadata, where=ROOT)
        name = f"root_history/{metadata.signed.version}.root.json"
        make_folder(self._cache.folder, mode=0o700)
        with locked(self._cache.folder):
            if self._holds(name, digest(root)):
                return
            work = self._cache.begin(None)
            write_durably(work / name, root)
            self._cache.commit(work, None, None)

    def verified_at(self) -> datetime | None:
        """Return the latest time that signed metadata proved, UTC; None before the first."""
        return self._cache.load().verified_at

    def refresh(self, fetch: Fetch, *, clock: Clock) -> None:
        """Bring the top-level metadata up to date; durable on return.

        Raises:
            UntrustedError: With the reason; what was trusted before stays.
            NetworkError: No answer, or a file is missing on the server.
        """
        with self._session(fetch, clock):
            pass

    def target(
        self, path: str, *, model: str, version: str, variant: str, fetch: Fetch, clock: Clock
    ) -> TargetInfo:
        """Refresh, and look up one bundle.

        Raises:
            UntrustedError: As for `refresh`; and if no trusted role lists the path
                (`not_listed`), or path or signed data name another bundle (`wrong_model`).
            NetworkError: No answer, or a file is missing on the server.
        """
        expected = {"model": model, "version": version, "variant": variant}
        with self._session(fetch, clock) as updater:
            found = updater.get_targetinfo(path)
        if found is None:
            raise UntrustedError(Reason.NOT_LISTED, "no trusted role lists it", where=path)
        return _bound(found, expected)

    def _holds(self, name: str, sha256: str) -> bool:
        try:
            return self._cache.exists and self._cache.load().files.get(name) == sha256
        except UntrustedError:
            return False

    @contextmanager
    def _session(self, fetch: Fetch, clock: Clock) -> Iterator[Updater]:
        """Hold the folder, refresh, and tell an expired repository from a wrong clock."""
        if not self._cache.exists:
            self._cache.load()
        with locked(self._cache.folder):
            try:
                with self._copy(self._cache.load(), fetch, clock) as updater:
                    yield updater
            except UntrustedError as error:
                if error.reason is Reason.EXPIRED and not clock.synchronised:
                    self._suspect_clock(self._cache.load(), fetch, error)
                raise

    @contextmanager
    def _copy(self, index: Index, fetch: Fetch, clock: Clock) -> Iterator[Updater]:
        """Refresh in a copy and keep what was verified, also when a later step failed.

        A new root counts even if the rest does not follow: it may take trust from stolen keys.
        """
        at = max(clock.now, index.verified_at or _BEGINNING)
        work = self._cache.begin(index)
        try:
            with tuf_errors(self._where):
                updater = open_updater(work, self._cache.newest_root(index), fetch, at=at)
                updater.refresh()
                yield updater
        finally:
            if self._cache.commit(work, index, _proven_time(work, index, clock)) is index:
                self._cache.discard(work)

    def _suspect_clock(self, index: Index, fetch: Fetch, error: UntrustedError) -> None:
        """Tell a clock that nobody set from a repository that expired.

        Judged at the last time that was proven: if the same files are valid there and newer than
        ours, the clock is the likelier liar.

        Raises:
            UntrustedError: `clock_suspect`.
        """
        work = self._cache.begin(index)
        try:
            at = index.verified_at or _BEGINNING
            with tuf_errors(self._where):
                open_updater(work, self._cache.newest_root(index), fetch, at=at).refresh()
            newer = _timestamp_version(work) > _timestamp_version(
                self._cache.folder / index.generation
            )
        except UntrustedError:
            return
        finally:
            self._cache.discard(work)
        if newer:
            raise UntrustedError(
                Reason.CLOCK_SUSPECT,
                f"{error.what}, by a clock that nobody set",
                where=self._where,
                todo="it is tried again when the clock is set",
            ) from error


def _bound(found: TargetFile, expected: dict[str, str]) -> TargetInfo:
    """Return the target if path and signed data name the expected bundle."""
    custom = found.custom if isinstance(found.custom, dict) else {}
    for name, value in expected.items():
        if custom.get(name) != value:
            raise UntrustedError(
                Reason.WRONG_MODEL,
                f"is signed as {name} {custom.get(name)!r}, not {value!r}",
                where=found.path,
            )
    if found.path != bundle_path(**expected):
        raise UntrustedError(
            Reason.WRONG_MODEL, f"is not where {expected['model']!r} is kept", where=found.path
        )
    sha256 = found.hashes.get("sha256")
    if sha256 is None:
        raise UntrustedError(Reason.INVALID, "is listed without a sha256", where=found.path)
    return TargetInfo(path=found.path, length=found.length, sha256=sha256, custom=custom)


def _timestamp(folder: Path) -> Timestamp | None:
    file = folder / "timestamp.json"
    if not file.exists():
        return None
    return Metadata[Timestamp].from_bytes(file.read_bytes()).signed


def _timestamp_version(folder: Path) -> int:
    timestamp = _timestamp(folder)
    return timestamp.version if timestamp else 0


def _proven_time(work: Path, index: Index, clock: Clock) -> datetime | None:
    """Return the latest time that signed metadata proves.

    The server signs its own time, so it can lie: a time past the expiry of the root or the
    targets, which people signed, is not believed, nor one ahead of a clock that was set.
    """
    before = index.verified_at
    timestamp = _timestamp(work)
    if timestamp is None:
        return before
    try:
        said = datetime.strptime(
            timestamp.unrecognized_fields.get(SIGNED_AT, ""), "%Y-%m-%dT%H:%M:%SZ"
        ).replace(tzinfo=UTC)
    except (TypeError, ValueError):
        return before
    limits = [timestamp.expires, _newest_root_expiry(work)]
    if (work / "targets.json").exists():
        limits.append(Metadata.from_bytes((work / "targets.json").read_bytes()).signed.expires)
    if said >= min(limits):
        return before
    if clock.synchronised:
        said = min(said, clock.now)
    return said if before is None else max(before, said)


def _newest_root_expiry(work: Path) -> datetime:
    newest = max(
        (work / "root_history").glob("*.root.json"), key=lambda path: int(path.name.split(".")[0])
    )
    return Metadata.from_bytes(newest.read_bytes()).signed.expires
