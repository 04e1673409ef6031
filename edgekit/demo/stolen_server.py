"""What somebody can do who has stolen the server: its disk, its database and its online keys.

Simulated by editing the demo's own server folder. What the thief does not have are the keys that
stayed with the engineer.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from edgekit.bundle import Bundle, open_bundle
from edgekit.trust import bundle_path
from edgekit.trust.metadata import (
    Metadata,
    MetaFile,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
    digest,
    load,
)
from edgekit.trust.online import OnlineKeys, OnlineRepository


def alter_bundle(data: Path, sha256: str) -> None:
    """Change one bit in the middle of a published bundle, and drop the deltas that lead to it.

    Do it while the server is stopped: a delta that was made before still gives the true bundle.
    """
    path = _blob(data, sha256)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for delta in (data / "blobs" / "deltas").glob(f"*-{sha256}"):
        delta.unlink()


@contextmanager
def unsigned_release(data: Path, model: str, bundles: list[Bundle]) -> Iterator[None]:
    """List bundles with a key that nobody trusts, under a snapshot signed with the stolen keys.

    On leaving, the metadata is as it was.
    """
    metadata = data / "trust" / "metadata"
    timestamp = (metadata / "timestamp.json").read_bytes()
    rogue = _list_with_rogue_key(data, model, bundles)
    for bundle in bundles:
        place = _blob(data, bundle.sha256)
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(bundle.path, place)
    _insert_release(data, model, bundles)
    try:
        yield
    finally:
        rogue.unlink()
        (metadata / "timestamp.json").write_bytes(timestamp)


def swap_targets(data: Path, offered: tuple[str, str], instead: tuple[str, str]) -> None:
    """Let a release (model, version) deliver the listed bundles of another one."""
    with _database(data) as database:
        wanted, other = (_release_id(database, *release) for release in (offered, instead))
        columns = ("digest", "sha1", "md5", "size", "target")
        for variant, *values in database.execute(
            f"SELECT variant, {', '.join(columns)} FROM variants WHERE release = ?",  # noqa: S608 (fixed names)
            (other,),
        ).fetchall():
            database.execute(
                f"UPDATE variants SET {', '.join(f'{c} = ?' for c in columns)}"  # noqa: S608 (fixed names)
                " WHERE release = ? AND variant = ?",
                (*values, wanted, variant),
            )


def _list_with_rogue_key(data: Path, model: str, bundles: list[Bundle]) -> Path:
    repository = OnlineRepository(data / "trust", OnlineKeys.open(data / "keys"))
    listed = load(repository.current(model) or b"", Targets, where=model)
    for bundle in bundles:
        manifest = bundle.manifest
        named = {"model": model, "version": manifest.version, "variant": manifest.variant}
        path = bundle_path(**named)
        listed.signed.targets[path] = TargetFile(
            bundle.size, {"sha256": bundle.sha256}, path, {"custom": named}
        )
    listed.signed.version += 1
    listed.signatures.clear()
    listed.sign(CryptoSigner.generate_ed25519())
    rogue = repository.folder / f"{listed.signed.version}.{model}.json"
    rogue.write_bytes(listed.to_bytes())
    _sign_online(repository.folder, OnlineKeys.open(data / "keys"), model, rogue.read_bytes())
    return rogue


def _sign_online(folder: Path, keys: OnlineKeys, model: str, rogue: bytes) -> None:
    """Sign a snapshot and a timestamp that name the rogue metadata."""
    now = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 (the thief's clock)
    timestamp = Metadata[Timestamp].from_file(str(folder / "timestamp.json"))
    old = timestamp.signed.snapshot_meta.version
    snapshot = Metadata[Snapshot].from_file(str(folder / f"{old}.snapshot.json"))
    snapshot.signed.version = max(old + 1, int(now.timestamp()))
    snapshot.signed.expires = now + timedelta(days=7)
    snapshot.signed.meta[f"{model}.json"] = _meta_file(rogue)
    snapshot.sign(keys.snapshot)
    snapshot_bytes = snapshot.to_bytes()
    (folder / f"{snapshot.signed.version}.snapshot.json").write_bytes(snapshot_bytes)
    timestamp.signed.version = max(timestamp.signed.version + 1, int(now.timestamp()))
    timestamp.signed.snapshot_meta = _meta_file(snapshot_bytes)
    timestamp.sign(keys.timestamp)
    (folder / "timestamp.json").write_bytes(timestamp.to_bytes())


def _meta_file(content: bytes) -> MetaFile:
    version = Metadata.from_bytes(content).signed.version
    return MetaFile(version, len(content), {"sha256": digest(content)})


def _insert_release(data: Path, model: str, bundles: list[Bundle]) -> None:
    version = bundles[0].manifest.version
    with _database(data) as database:
        release = database.execute(
            "INSERT INTO releases (model, version, state, published_at)"
            " SELECT model, ?, state, published_at FROM releases WHERE model = ? LIMIT 1"
            " RETURNING id",
            (version, model),
        ).fetchone()[0]
        for bundle in bundles:
            content = bundle.path.read_bytes()
            variant = bundle.manifest.variant
            legacy = [
                hashlib.new(n, content, usedforsecurity=False).hexdigest() for n in ("sha1", "md5")
            ]
            database.execute(
                "INSERT INTO variants (release, variant, digest, sha1, md5, size, target, requires)"
                " SELECT ?, variant, ?, ?, ?, ?, ?, requires FROM variants WHERE variant = ?"
                " LIMIT 1",
                (
                    release,
                    bundle.sha256,
                    *legacy,
                    bundle.size,
                    bundle_path(model=model, version=version, variant=variant),
                    variant,
                ),
            )


def _release_id(database: sqlite3.Connection, model: str, version: str) -> int:
    return int(
        database.execute(
            "SELECT id FROM releases WHERE model = ? AND version = ?", (model, version)
        ).fetchone()[0]
    )


@contextmanager
def _database(data: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(data / "fleet.sqlite", timeout=10)) as database:
        yield database
        database.execute("UPDATE fleet SET version = version + 1")
        database.execute("INSERT INTO changes (version, device) SELECT version, NULL FROM fleet")
        database.commit()


def _blob(data: Path, sha256: str) -> Path:
    return data / "blobs" / sha256[:2] / sha256


def bundles_in(folder: Path) -> list[Bundle]:
    """Open every bundle of a folder."""
    return [open_bundle(path) for path in sorted(folder.glob("*.bundle"))]
