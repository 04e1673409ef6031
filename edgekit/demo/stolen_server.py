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
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from edgekit.bundle import Bundle, open_bundle
from edgekit.trust import bundle_path
from edgekit.trust.metadata import TargetFile, Targets, load
from edgekit.trust.online import OnlineKeys
from edgekit.trust.published import Published


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
    with _database(data) as database:
        before = dict(database.execute("SELECT name, body FROM trust_files").fetchall())
        _list_with_rogue_key(data, database, model, bundles)
    for bundle in bundles:
        place = _blob(data, bundle.sha256)
        place.parent.mkdir(exist_ok=True)
        shutil.copyfile(bundle.path, place)
    _insert_release(data, model, bundles)
    try:
        yield
    finally:
        with _database(data) as database:
            database.execute("DELETE FROM trust_files")
            database.executemany("INSERT INTO trust_files VALUES (?, ?)", before.items())


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


class _Files:
    """The metadata in the stolen database."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def get(self, name: str) -> bytes | None:
        query = "SELECT body FROM trust_files WHERE name = ?"
        found = self._database.execute(query, (name,)).fetchone()
        return found[0].encode() if found else None

    def put(self, name: str, data: bytes) -> None:
        values = (name, data.decode())
        self._database.execute("INSERT OR REPLACE INTO trust_files VALUES (?, ?)", values)

    def names(self, ending: str) -> list[str]:
        names = (name for (name,) in self._database.execute("SELECT name FROM trust_files"))
        return [name for name in names if name.endswith(ending)]


def _list_with_rogue_key(
    data: Path, database: sqlite3.Connection, model: str, bundles: list[Bundle]
) -> None:
    """Sign model metadata with a key of one's own, and the rest with the stolen ones."""
    published = Published(_Files(database), _stolen_keys(data, database))
    state = published.state()
    listed = load(state.roles[model], Targets, where=model)
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
    rogue = listed.to_bytes()
    published.add(model, rogue)
    now = datetime.now(UTC)  # noqa: TID251 (the thief's clock)
    published.sign(replace(state, roles={**state.roles, model: rogue}), now, snapshot=True)


def _stolen_keys(data: Path, database: sqlite3.Connection) -> OnlineKeys:
    rows = database.execute("SELECT role, pem FROM online_keys").fetchall()
    secret = (data / "keys" / "online.secret").read_text(encoding="ascii").strip()
    return OnlineKeys.open({role: pem.encode() for role, pem in rows}, secret)


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
