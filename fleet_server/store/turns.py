"""Who may do what only one process may: a lock that ends with the process that holds it.

Neither kind looks at a clock: the kernel or the database gives the lock back when its holder dies,
so a step of the clock takes it from nobody.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from edgekit.errors import StorageError
from fleet_server.services.ports.turns import Turn
from fleet_server.store.database import SqlDatabase

_SCHEDULER_LOCK = 0x45646773
_WATCH = (
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
)


def turn_of(database: SqlDatabase, folder: Path) -> Turn:
    """Return the scheduler's lock: in PostgreSQL, or beside a SQLite file in `folder`."""
    if database.engine.dialect.name == "postgresql":
        return SessionTurn(database)
    return FileTurn(folder / "scheduler.lock")


class FileTurn:
    """A lock on a file of a local disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def mine(self) -> bool:
        """Take the lock, or say that it is still held.

        Raises:
            StorageError: The file cannot be written.
        """
        if self._handle is not None:
            return True
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            where = str(self._path)
            raise StorageError(f"cannot be written ({error.strerror})", where=where) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self) -> None:
        """Give it back; nothing if it is not held."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class SessionTurn:
    """An advisory lock of one PostgreSQL session, kept open beside the pool."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database
        self._session: Connection | None = None

    def mine(self) -> bool:
        """Take the lock, or say that its session is still alive."""
        try:
            return self._alive() if self._session is not None else self._take()
        except SQLAlchemyError:
            self.release()
            return False

    def release(self) -> None:
        """Give it back by ending the session; nothing if it is not held."""
        session, self._session = self._session, None
        if session is not None:
            _end(session)

    def _alive(self) -> bool:
        assert self._session is not None  # noqa: S101 (the caller looked)
        self._session.exec_driver_sql("SELECT 1")
        return True

    def _take(self) -> bool:
        session = self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            session.exec_driver_sql(_WATCH)
            taken = session.exec_driver_sql(f"SELECT pg_try_advisory_lock({_SCHEDULER_LOCK})")
            held = bool(taken.scalar())
        except SQLAlchemyError:
            _end(session)
            raise
        if held:
            self._session = session
        else:
            session.close()
        return held


def _end(session: Connection) -> None:
    """Close a session for good instead of giving it back to the pool, broken or not."""
    with suppress(SQLAlchemyError):
        session.detach()
    with suppress(SQLAlchemyError):
        session.close()
