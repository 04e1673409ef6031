"""Backup, restore and export of a server: binds its folder, database and keys to files."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from edgekit.errors import ConflictError
from fleet_server.domain.access import Role
from fleet_server.main import utc_now, write_token
from fleet_server.membership import join, make_secret, open_trust, read_secret
from fleet_server.services.accounts import FIRST_ADMIN, AccountService
from fleet_server.services.config import ServerConfig
from fleet_server.store.backup import Seals, back_up, restore
from fleet_server.store.database import SqlDatabase
from fleet_server.store.retention import export


def back_up_server(config: ServerConfig, out: Path, *, passphrase: str) -> None:
    """Write a backup of a server, which may go on meanwhile.

    Raises:
        EdgeKitError: See `fleet_server.store.backup.back_up`.
    """
    database = SqlDatabase.open(config.database_url)
    try:
        database.migrate()
        open_trust(config, database)
        seals = Seals(secret=read_secret(config.online_secret), passphrase=passphrase)
        back_up(database, _blobs(config), out, seals=seals, now=utc_now())
    finally:
        database.close()


def restore_server(config: ServerConfig, file: Path, *, passphrase: str) -> datetime:
    """Make a server from a backup, with a new first token; returns when the backup was made.

    Raises:
        ConflictError: There is a server in the folder already.
        EdgeKitError: See `fleet_server.store.backup.restore`.
    """
    if config.admin_token.exists():
        raise ConflictError("there is a server already", where=str(config.data))
    config.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    config.data.chmod(0o700)
    database, now = SqlDatabase.open(config.database_url), utc_now()
    try:
        seals = Seals(secret=make_secret(config), passphrase=passphrase)
        manifest = restore(file, database, _blobs(config), seals=seals)
        open_trust(config, database).sign_anew(now=now)
        accounts = AccountService(database)
        accounts.change(FIRST_ADMIN, role=Role.ADMIN, disabled=False)
        token, _ = accounts.new_token(
            FIRST_ADMIN, Role.ADMIN, life=None, note="after a restore", now=now
        )
    finally:
        database.close()
    write_token(config, token)
    return datetime.fromisoformat(manifest.created_at)


def export_windows(config: ServerConfig, out: Path, *, since: datetime, until: datetime) -> int:
    """Write the windows received in [since, until) as Parquet; returns how many.

    Raises:
        EdgeKitError: See `fleet_server.store.retention.export`.
    """
    database = SqlDatabase.open(config.database_url)
    try:
        with database.snapshot() as connection:
            return export(connection, out, since=since, until=until)
    finally:
        database.close()


def join_server(config: ServerConfig, secret_file: Path) -> None:
    """Make a folder of another machine part of the server whose database its server.toml names.

    Raises:
        EdgeKitError: See `fleet_server.membership.join`.
    """
    database = SqlDatabase.open(config.database_url)
    try:
        database.migrate()
        join(config, database, read_secret(secret_file))
    finally:
        database.close()


def _blobs(config: ServerConfig) -> Path | None:
    return None if config.settings.blobs else config.blobs
