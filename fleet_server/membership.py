"""What makes a process part of a server: the secret that opens the online keys in its database.

The secret is a file of each machine and never in the database; without it the database's thief can
sign nothing. Everything else that servers on several machines share is in the database or a bucket.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from edgekit.durable import make_folder, read_bytes, write_durably
from edgekit.errors import ConflictError, TrustError, UsageError
from edgekit.trust.online import OnlineKeys
from edgekit.trust.policy import SNAPSHOT, TIMESTAMP
from fleet_server.services.config import ServerConfig
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.trust import WAITING_ROOT, TrustService

_LEAST_SECRET = 32


def is_member(config: ServerConfig) -> bool:
    """Whether this folder belongs to a server, of this or of an earlier version."""
    return config.online_secret.is_file() or bool(_old_keys(config))


def found(config: ServerConfig, database: Database) -> None:
    """Make the secret and the online keys of a new server; doing it again changes nothing.

    Raises:
        ConflictError: The database belongs to a server already, of which this folder is no part.
        StorageError: The secret or the database cannot be written.
    """
    with database.write() as tables:
        if tables.online_keys.all():
            if not config.online_secret.is_file():
                raise ConflictError(
                    "a server has this database already",
                    where=str(config.data),
                    todo="edgekit server join, with that server's secret",
                )
            open_keys(tables, _secret(config))
            return
        tables.online_keys.put(OnlineKeys.generate().sealed(make_secret(config)))


def join(config: ServerConfig, database: Database, secret: str) -> None:
    """Make a folder of another machine part of the server that has this database.

    Raises:
        UsageError: The database has no server.
        TrustError: It is not that server's secret; nothing was changed.
        StorageError: The folder cannot be written.
    """
    with database.read() as tables:
        if not tables.online_keys.all():
            raise UsageError(
                "the database has no server yet",
                where=str(config.data),
                todo="name the server's database in server.toml",
            )
        open_keys(tables, secret)
    _write_secret(config.online_secret, secret)


def open_trust(config: ServerConfig, database: Database) -> TrustService:
    """Return the trust service over a server's database.

    A folder of a version that kept metadata and keys beside the database is taken over first.

    Raises:
        TrustError: The secret here does not open the keys there.
        StorageError: Something cannot be read or written.
    """
    if _old_keys(config):
        _take_over(config, database)
    with database.read() as tables:
        keys = open_keys(tables, _secret(config))
    return TrustService(database, keys)


def open_keys(tables: Tables, secret: str) -> OnlineKeys:
    """Open the keys of the database.

    Raises:
        TrustError: The secret is another server's.
    """
    try:
        return OnlineKeys.open(tables.online_keys.all(), secret)
    except TrustError as error:
        raise TrustError(
            "the secret does not open the online keys in the database",
            where="online.secret",
            todo="take the file from a machine of the same server",
        ) from error


def make_secret(config: ServerConfig) -> str:
    """Return the secret here, made if there is none; durable on return."""
    if not config.online_secret.is_file():
        _write_secret(config.online_secret, secrets.token_hex(_LEAST_SECRET))
    return _secret(config)


def read_secret(file: Path) -> str:
    """Read a secret.

    Raises:
        StorageError: It cannot be read.
        UsageError: It is too short to be one.
    """
    secret = read_bytes(file).decode("ascii", "replace").strip()
    if len(secret) < _LEAST_SECRET:
        raise UsageError(f"holds fewer than {_LEAST_SECRET} characters", where=str(file))
    return secret


def _secret(config: ServerConfig) -> str:
    return read_secret(config.online_secret)


def _write_secret(file: Path, secret: str) -> None:
    make_folder(file.parent, mode=0o700)
    write_durably(file, f"{secret}\n".encode(), mode=0o600)


def _old_keys(config: ServerConfig) -> dict[str, Path]:
    """Return the files of unsealed keys by role, as version 0.1.0 kept them."""
    files = {role: config.data / "keys" / f"{role}.pem" for role in (SNAPSHOT, TIMESTAMP)}
    return {role: file for role, file in files.items() if file.is_file()}


def _take_over(config: ServerConfig, database: Database) -> None:
    """Move what version 0.1.0 kept in folders into the database; safe to be killed anywhere."""
    folder = config.data / "trust"
    files, waiting = sorted((folder / "metadata").glob("*.json")), folder / "waiting.root.json"
    with database.write() as tables:
        if not tables.online_keys.all():
            pems = {role: read_bytes(file) for role, file in _old_keys(config).items()}
            keys = OnlineKeys.open(pems, None)
            tables.online_keys.put(keys.sealed(make_secret(config)))
            for file in files:
                tables.trust_files.put(file.name, read_bytes(file))
            if waiting.is_file():
                tables.trust_files.put(WAITING_ROOT, read_bytes(waiting))
    for file in (*files, waiting, *_old_keys(config).values()):
        file.unlink(missing_ok=True)
