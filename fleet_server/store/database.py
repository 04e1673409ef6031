"""Transactions over the tables, and the migrations that make them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from edgekit.errors import FormatError, StorageError
from fleet_server.services.errors import UnavailableError
from fleet_server.store.accounts import SqlAccounts, SqlAudit, SqlKeptAnswers
from fleet_server.store.benchmarks import SqlBenchmarks
from fleet_server.store.bundles import SqlBundles
from fleet_server.store.changes import SqlChanges
from fleet_server.store.deployments import SqlDeployments
from fleet_server.store.devices import SqlDevices, SqlTokens
from fleet_server.store.diagnoses import SqlDiagnoses
from fleet_server.store.dialects import KIND, Kind, open_engine
from fleet_server.store.downloads import SqlDownloadSlots
from fleet_server.store.drift import SqlDriftHours
from fleet_server.store.events import SqlAlarms, SqlEvents
from fleet_server.store.experiments import SqlExperiments
from fleet_server.store.field import SqlField
from fleet_server.store.flags import SqlFlags
from fleet_server.store.parameters import SqlDeviceParameters
from fleet_server.store.release_drift import SqlReleaseDrift
from fleet_server.store.releases import SqlReleases
from fleet_server.store.retention import roll_up
from fleet_server.store.rollouts import SqlRollouts
from fleet_server.store.schema import devices
from fleet_server.store.sharing import Writers
from fleet_server.store.telemetry import SqlTelemetry
from fleet_server.store.trust import SqlOnlineKeys, SqlTrustFiles
from fleet_server.store.webhooks import SqlWebhooks

_ROLLED_AT_ONCE = 200
"""Devices; a day of one-minute windows of so many is 288,000 rows."""
_MIGRATIONS = Path(__file__).parent / "migrations"


class SqlTables:
    """One transaction: the tables over one connection."""

    def __init__(self, connection: Connection) -> None:
        self.accounts = SqlAccounts(connection)
        self.audit = SqlAudit(connection)
        self.kept_answers = SqlKeptAnswers(connection)
        self.devices = SqlDevices(connection)
        self.tokens = SqlTokens(connection)
        self.releases = SqlReleases(connection)
        self.rollouts = SqlRollouts(connection)
        self.deployments = SqlDeployments(connection)
        self.telemetry = SqlTelemetry(connection)
        self.changes = SqlChanges(connection)
        self.flags = SqlFlags(connection)
        self.experiments = SqlExperiments(connection)
        self.drift = SqlDriftHours(connection)
        self.release_drift = SqlReleaseDrift(connection)
        self.field = SqlField(connection)
        self.parameters = SqlDeviceParameters(connection)
        self.events = SqlEvents(connection)
        self.alarms = SqlAlarms(connection)
        self.webhooks = SqlWebhooks(connection)
        self.benchmarks = SqlBenchmarks(connection)
        self.diagnoses = SqlDiagnoses(connection)
        self.bundles = SqlBundles(connection)
        self.download_slots = SqlDownloadSlots(connection)
        self.trust_files = SqlTrustFiles(connection)
        self.online_keys = SqlOnlineKeys(connection)


class SqlDatabase:
    """A database by SQLAlchemy address. Use `open`; safe from several threads."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.commits = 0
        # SQLite takes one writer at a time: waiting here is fair, its busy handler is not.
        self.writers = Writers(lambda: self._connect(Kind.WRITE), self._busy)

    @classmethod
    def open(cls, url: str) -> SqlDatabase:
        """Open it; nothing is read or written yet."""
        return cls(open_engine(url))

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    def migrate(self, revision: str = "head") -> None:
        """Bring the tables to a revision, forward or ("base") back; durable on return.

        One process at a time does it; the others wait and find nothing left to do.

        Raises:
            StorageError: The database cannot be opened or written.
        """
        with _storage_errors(self.engine), self.engine.connect() as opened:
            connection = opened.execution_options(**{KIND: Kind.WRITE})
            config = Config()
            config.set_main_option("script_location", str(_MIGRATIONS))
            config.attributes["connection"] = connection
            move = command.downgrade if revision == "base" else command.upgrade
            with connection.begin():
                move(config, revision)

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
        with self.writers.alone(), self._transaction(Kind.WRITE) as tables:
            yield tables
        self._count(tables)

    @contextmanager
    def together(self) -> Iterator[SqlTables]:
        """Write all or nothing, and share the commit with who waits; for what takes a moment.

        Raises:
            StorageError: No room, no permission, or the database is locked for too long: for this
                writer, or for one that shares the commit. Nothing was written.
        """
        with _storage_errors(self.engine), self.writers.together() as connection:
            tables = SqlTables(connection)
            yield tables
        self._count(tables)

    @contextmanager
    def append(self) -> Iterator[SqlTables]:
        """Add facts that depend on nothing stored, such as telemetry; durable when it is left.

        On PostgreSQL many do this at once, so nothing that is read in here may decide anything.

        Raises:
            StorageError: No room, no permission, or the database does not answer.
            FormatError: A fact is about something that is not stored, or cannot be stored.
        """
        beside = nullcontext() if self.engine.dialect.name != "sqlite" else self.writers.alone()
        try:
            with beside, self._transaction(Kind.APPEND) as tables:
                yield tables
        except IntegrityError as error:
            raise FormatError("is about something that is not here", where="database") from error

    def revision(self) -> str:
        """Return the revision that the tables are of; empty before the first."""
        with self.snapshot() as connection:
            return str(MigrationContext.configure(connection).get_current_revision() or "")

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Read one consistent state without the tables, for a backup."""
        with _storage_errors(self.engine), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def bulk(self) -> Iterator[Connection]:
        """Write all or nothing without the tables, for a restore."""
        with (
            self.writers.alone(),
            _storage_errors(self.engine),
            self._connect(Kind.WRITE) as connection,
            connection.begin(),
        ):
            yield connection

    def roll_up(self, *, before: datetime) -> int:
        """Turn windows received before a time into rows of days; returns how many.

        Some devices at a time, each time all or nothing, so that other writers wait for seconds
        and not for a whole fleet's day.
        """
        rolled, last = 0, ""
        while some := self._devices_after(last):
            with self.bulk() as connection:
                rolled += roll_up(connection, before=before, first=some[0], last=some[-1])
            last = some[-1]
        return rolled

    def _devices_after(self, device_id: str) -> list[str]:
        column = devices.c.id
        query = select(column).where(column > device_id).order_by(column).limit(_ROLLED_AT_ONCE)
        with self.snapshot() as connection:
            return [str(name) for name in connection.execute(query).scalars()]

    @contextmanager
    def _transaction(self, kind: Kind) -> Iterator[SqlTables]:
        with (
            _storage_errors(self.engine),
            self._connect(kind) as connection,
            connection.begin(),
        ):
            yield SqlTables(connection)

    def _connect(self, kind: Kind) -> Connection:
        return self.engine.connect().execution_options(**{KIND: kind})

    def _count(self, tables: SqlTables) -> None:
        if tables.changes.recorded:
            self.commits += 1

    def _busy(self) -> UnavailableError:
        return UnavailableError("is busy with other writers", where=_name(self.engine))


@contextmanager
def _storage_errors(engine: Engine) -> Iterator[None]:
    """Turn what the driver raises into errors of ours; a value that cannot be stored is bad input.

    SQLite raises OverflowError for an integer beyond 64 bits, both raise UnicodeEncodeError for a
    lone surrogate, and PostgreSQL DataError for a NUL character.
    """
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        kind = StorageError if _is_full(error) else UnavailableError
        raise kind(f"the database failed ({_first_line(error)})", where=_name(engine)) from error
    except PoolTimeoutError as error:
        raise UnavailableError("the database is overloaded", where=_name(engine)) from error
    except (DataError, OverflowError, UnicodeEncodeError) as error:
        raise FormatError("a value cannot be stored", where="database") from error


def _is_full(error: DBAPIError) -> bool:
    """Whether there is no room; PostgreSQL's class 53100, SQLite says it in words."""
    return getattr(error.orig, "sqlstate", "") == "53100" or "disk is full" in str(error.orig)


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0]


def _name(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=True)
