"""Transactions over the tables, and the migrations that make them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from edgekit.errors import StorageError
from fleet_server.store.changes import SqlChanges
from fleet_server.store.deployments import SqlDeployments
from fleet_server.store.devices import SqlDevices, SqlTokens
from fleet_server.store.dialects import WRITES, open_engine
from fleet_server.store.flags import SqlFlags
from fleet_server.store.releases import SqlReleases
from fleet_server.store.rollouts import SqlRollouts
from fleet_server.store.telemetry import SqlTelemetry

_MIGRATIONS = Path(__file__).parent / "migrations"


class SqlTables:
    """One transaction: the tables over one connection."""

    def __init__(self, connection: Connection) -> None:
        self.devices = SqlDevices(connection)
        self.tokens = SqlTokens(connection)
        self.releases = SqlReleases(connection)
        self.rollouts = SqlRollouts(connection)
        self.deployments = SqlDeployments(connection)
        self.telemetry = SqlTelemetry(connection)
        self.changes = SqlChanges(connection)
        self.flags = SqlFlags(connection)


class SqlDatabase:
    """A database by SQLAlchemy address. Use `open`; safe from several threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.commits = 0
        # SQLite takes one writer at a time: waiting here is fair, its busy handler is not.
        self._writer = threading.Lock()

    @classmethod
    def open(cls, url: str) -> SqlDatabase:
        """Open it; nothing is read or written yet."""
        return cls(open_engine(url))

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    def migrate(self, revision: str = "head") -> None:
        """Bring the tables to a revision, forward or ("base") back; durable on return.

        Raises:
            StorageError: The database cannot be opened or written.
        """
        with _storage_errors(self.engine), self.engine.connect() as connection:
            config = Config()
            config.set_main_option("script_location", str(_MIGRATIONS))
            config.attributes["connection"] = connection
            if revision == "base":
                command.downgrade(config, revision)
            else:
                command.upgrade(config, revision)

    @contextmanager
    def read(self) -> Iterator[SqlTables]:
        """Read one consistent state; nothing of what is written here is kept."""
        with _storage_errors(self.engine), self.engine.connect() as connection:
            yield SqlTables(connection)

    @contextmanager
    def write(self) -> Iterator[SqlTables]:
        """Write all or nothing; durable against a kill when the block is left.

        Raises:
            StorageError: No room, no permission, or the database is locked for too long.
        """
        with self._writer, _storage_errors(self.engine), self.engine.connect() as opened:
            connection = opened.execution_options(**{WRITES: True})
            with connection.begin():
                tables = SqlTables(connection)
                yield tables
            if tables.changes.recorded:
                self.commits += 1


@contextmanager
def _storage_errors(engine: Engine) -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        where = engine.url.render_as_string(hide_password=True)
        raise StorageError(f"the database failed ({error.orig})", where=where) from error
