"""Backup and restore: one tar file that a server on SQLite or PostgreSQL can be made from again.

    manifest.json          format version, revision of the tables, time
    tables/<name>.jsonl    rows of one consistent state, in the order in which they go back
    keys/<role>.pem        online keys, encrypted by the passphrase
    blobs/<sha256>         bundles (with a bucket: not in it)

The database is read first: everything that its rows name was there before them. Tokens are in it as
digests only; passwords of databases and buckets are not in it.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from sqlalchemy import (
    Connection,
    DateTime,
    Table,
    TableClause,
    TypeDecorator,
    column,
    func,
    insert,
    select,
    text,
)
from sqlalchemy import table as table_clause

from edgekit import codec
from edgekit.errors import ConflictError, FormatError, StorageError, TrustError, UsageError
from edgekit.trust.keys import open_pem, sealed_pem
from fleet_server.store import schema
from fleet_server.store.blobs import FolderBlobs
from fleet_server.store.database import SqlDatabase
from fleet_server.store.schema import metadata
from fleet_server.store.trust import SqlOnlineKeys

FORMAT_VERSION = "1.1"
MIN_PASSPHRASE = 8
_NAMES = re.compile(r"manifest\.json|tables/[a-z_]+\.jsonl|keys/[a-z]+\.pem|blobs/[0-9a-f]{64}")
_MANY = 500
_LEAP = 1_000_000
_LEFT_OUT = {
    schema.kept_answers.name,
    schema.online_keys.name,
    schema.diagnoses.name,
    schema.download_slots.name,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup is.

    Attributes:
        revision: Of the tables; a restore needs the same.
        created_at: ISO 8601, UTC.
    """

    format_version: str
    revision: str
    created_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seals:
    """What the online keys are encrypted by.

    Attributes:
        secret: In the database.
        passphrase: In the backup.
    """

    secret: str
    passphrase: str


def back_up(
    database: SqlDatabase, blobs: Path | None, out: Path, *, seals: Seals, now: datetime
) -> None:
    """Write a backup beside `out` and rename it into place; the server may go on meanwhile.

    Args:
        database: Of the server.
        blobs: Folder of bundles; None when a bucket holds them.
        out: File to write.
        seals: What opens the online keys, and what shall.
        now: Current time, UTC.

    Raises:
        UsageError: The passphrase is too short.
        ConflictError: There is such a file.
        StorageError: It cannot be written, or the database cannot be read.
    """
    if len(seals.passphrase) < MIN_PASSPHRASE:
        raise UsageError(f"the passphrase of a backup has at least {MIN_PASSPHRASE} characters")
    if out.exists():
        raise ConflictError("is there already", where=str(out))
    part = out.with_name(out.name + ".part")
    try:
        with part.open("xb") as file:
            part.chmod(0o600)
            with tarfile.open(fileobj=file, mode="w") as archive:
                _write(archive, database, blobs, seals, now)
        part.replace(out)
    except OSError as error:
        raise StorageError(f"cannot be written ({error.strerror})", where=str(out)) from error
    finally:
        part.unlink(missing_ok=True)


def restore(file: Path, database: SqlDatabase, blobs: Path | None, *, seals: Seals) -> Manifest:
    """Fill an empty database and an empty folder of bundles from a backup.

    Action numbers go on far above those of the backup, so that none that a device has seen since is
    given to another deployment. Signed metadata has to be signed anew afterwards.

    Raises:
        FormatError: It is no backup, is damaged, or of another revision.
        UsageError: The passphrase is wrong.
        ConflictError: The database is not empty.
        StorageError: Something cannot be read or written.
    """
    database.migrate()
    try:
        with tarfile.open(file, "r:") as archive:
            manifest = _manifest(archive, file)
            if manifest.revision != database.revision():
                raise FormatError(
                    f"is of revision {manifest.revision}, this server has {database.revision()}",
                    where=str(file),
                    todo="restore with the EdgeKit that made it, then update",
                )
            pems = _read_files(archive, blobs, seals, file)
            _read_tables(archive, database, file, pems)
    except OSError as error:
        raise StorageError(f"cannot be read ({error.strerror})", where=str(file)) from error
    except (tarfile.TarError, KeyError) as error:
        raise FormatError(f"is no backup ({error})", where=str(file)) from error
    return manifest


def _write(
    archive: tarfile.TarFile,
    database: SqlDatabase,
    blobs: Path | None,
    seals: Seals,
    now: datetime,
) -> None:
    manifest = Manifest(
        format_version=FORMAT_VERSION, revision=database.revision(), created_at=now.isoformat()
    )
    _add(archive, "manifest.json", codec.encode(manifest))
    with database.snapshot() as connection:
        for table in _tables():
            _add(archive, f"tables/{table.name}.jsonl", b"".join(_lines(connection, table)))
        for role, pem in SqlOnlineKeys(connection).all().items():
            sealed = _recrypt(pem, seals.secret, seals.passphrase)
            _add(archive, f"keys/{role}.pem", sealed)
    if blobs is not None:
        for path in sorted(blobs.glob("??/" + "[0-9a-f]" * 64)):
            archive.add(path, f"blobs/{path.name}", filter=_anonymous)


def _raw(table: Table) -> TableClause:
    """Return a table whose values are as they are stored: coded text stays text."""
    kinds = (
        (c.name, c.type.impl if isinstance(c.type, TypeDecorator) else c.type)
        for c in table.columns
    )
    return table_clause(table.name, *(column(name, kind) for name, kind in kinds))


def _lines(connection: Connection, table: Table) -> Iterator[bytes]:
    raw = _raw(table)
    order = [raw.c[key.name] for key in table.primary_key]
    query = select(raw).order_by(*order).execution_options(yield_per=_MANY)
    with connection.execute(query) as rows:
        for row in rows:
            values = [v.isoformat() if isinstance(v, datetime) else v for v in row]
            yield json.dumps(values).encode() + b"\n"


def _read_tables(
    archive: tarfile.TarFile, database: SqlDatabase, file: Path, pems: dict[str, bytes]
) -> None:
    with database.bulk() as connection:
        if connection.execute(select(func.count()).select_from(schema.accounts)).scalar():
            raise ConflictError("the database is not empty", where="database")
        connection.execute(text("DELETE FROM fleet"))
        for table in _tables():
            found = archive.extractfile(f"tables/{table.name}.jsonl")
            if found is None:
                raise FormatError(f"has no table {table.name}", where=str(file))
            _insert(connection, table, found)
        SqlOnlineKeys(connection).put(pems)
        _leap(connection)


def _insert(connection: Connection, table: Table, lines: IO[bytes]) -> None:
    raw = _raw(table)
    statement, rows = insert(raw), []
    for line in lines:
        rows.append(
            {
                c.name: datetime.fromisoformat(value)
                if isinstance(c.type, DateTime) and value is not None
                else value
                for c, value in zip(raw.columns, json.loads(line), strict=True)
            }
        )
        if len(rows) == _MANY:
            connection.execute(statement, rows)
            rows = []
    if rows:
        connection.execute(statement, rows)


def _leap(connection: Connection) -> None:
    """Let generated numbers go on far above what anybody may have seen since the backup."""
    for table in _tables():
        generated = table.autoincrement_column
        if generated is not None:
            _leap_over(connection, table, generated.name)


def _leap_over(connection: Connection, table: Table, name: str) -> None:
    largest = connection.execute(select(func.max(table.c[name]))).scalar() or 0
    start = int(largest) + _LEAP
    if connection.dialect.name == "postgresql":
        sequence = text("SELECT setval(pg_get_serial_sequence(:table, :column), :start)")
        connection.execute(sequence, {"table": table.name, "column": name, "start": start})
    elif table.dialect_options["sqlite"]["autoincrement"]:
        for statement in (
            "DELETE FROM sqlite_sequence WHERE name = :table",
            "INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :start)",
        ):
            connection.execute(text(statement), {"table": table.name, "start": start})


def _read_files(
    archive: tarfile.TarFile, blobs: Path | None, seals: Seals, file: Path
) -> dict[str, bytes]:
    """Put the bundles in their places; returns the keys by role, sealed for the database."""
    pems = {}
    for member in archive.getmembers():
        if not member.isreg() or not _NAMES.fullmatch(member.name) or ".." in member.name:
            raise FormatError("holds what no backup holds", where=f"{file}: {member.name[:80]}")
        found = archive.extractfile(member)
        assert found is not None  # noqa: S101 (a regular file)
        kind, _, name = member.name.partition("/")
        if kind == "keys":
            pem = _recrypt(found.read(), seals.passphrase, seals.secret)
            pems[name.removesuffix(".pem")] = pem
        elif kind == "blobs" and blobs is not None:
            _put_blob(FolderBlobs(blobs), name, found)
    return pems


def _put_blob(blobs: FolderBlobs, sha256: str, found: IO[bytes]) -> None:
    with blobs.open_part(sha256, offset=0) as part:
        while chunk := found.read(1 << 20):
            part.write(chunk)
    blobs.finish(sha256)


def _recrypt(pem: bytes, before: str, after: str) -> bytes:
    try:
        return sealed_pem(open_pem(pem, before, where="backup"), after)
    except TrustError as error:
        raise UsageError("the passphrase does not open the keys of the backup") from error


def _manifest(archive: tarfile.TarFile, file: Path) -> Manifest:
    first = archive.next()
    found = archive.extractfile(first) if first and first.name == "manifest.json" else None
    if found is None:
        raise FormatError("is no backup of a fleet server", where=str(file))
    manifest = codec.decode(found.read(1 << 16), Manifest, where=str(file))
    codec.check_major(manifest.format_version, 1, where=str(file))
    return manifest


def _tables() -> list[Table]:
    """Return every table in the order in which rows may go in."""
    return [table for table in metadata.sorted_tables if table.name not in _LEFT_OUT]


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o600
    archive.addfile(entry, io.BytesIO(data))


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry
