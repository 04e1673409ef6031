"""Telemetry that the server does not have yet: one bounded SQLite file for several processes.

Workers append, the agent sends and forgets what the server has stored. Sequence numbers have no
gaps; the file has a random name, so that a new file after a lost one is told apart.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit import codec
from edgekit.errors import StorageError
from edgekit.telemetry import Window

SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 10.0
_SCHEMA = """
create table window (seq integer primary key autoincrement, body blob not null);
create table fact (name text primary key, value integer not null);
create table identity (spool_id text not null);
insert into fact values
    ('bytes', 0), ('dropped', 0), ('dropped_unsaid', 0), ('refused', 0), ('windows', 0),
    ('inferences', 0);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolFacts:
    """Counters of one spool file.

    Attributes:
        spool_id: Random name of the file.
        waiting: Windows that the server does not have.
        waiting_bytes: Their size.
        windows: Windows ever recorded.
        inferences: Inferences ever recorded in them.
        dropped: Windows dropped for want of room.
        refused: Windows that the server refused for good.
    """

    spool_id: str
    waiting: int
    waiting_bytes: int
    windows: int
    inferences: int
    dropped: int
    refused: int


class Spool:
    """Store and forward. One object a thread; any number of processes.

    A connection that failed is given up: one that met a read-only disk goes on to refuse when there
    is room again, until another is opened.
    """

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        """Prepare; the file is opened, or made, when it is first needed.

        So a disk that takes nothing keeps nobody from starting. A file that SQLite cannot read
        is set aside as `.damaged`, and a new one begun. Every method raises StorageError while
        the file can neither be opened nor made, and when it cannot be read or written.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._opened: sqlite3.Connection | None = None

    @property
    def spool_id(self) -> str:
        """Random name of the file."""
        with self._using("read") as db:
            return str(db.execute("select spool_id from identity").fetchone()[0])

    @property
    def _db(self) -> sqlite3.Connection:
        if self._opened is None:
            self._opened = _open_or_renew(self._path)
        return self._opened

    def secure(self) -> None:
        """Bring what was appended to the disk for good.

        Done before windows are sent: a power cut after that must not give their numbers anew.

        Raises:
            StorageError: It cannot be written.
        """
        with self._using("written") as db:
            db.execute("pragma wal_checkpoint(passive)")

    def append(self, window: Window) -> int:
        """Store a window under the next number; returns the number.

        The oldest windows are dropped first when there is no room, which the window then says.

        Raises:
            StorageError: It cannot be written; nothing changed.
        """
        with self._transaction():
            self._drop(room_for=len(codec.encode(window)))
            unsaid = self._fact("dropped_unsaid")
            seq = int(self._db.execute("insert into window (body) values (x'')").lastrowid or 0)
            full = replace(window, seq=seq, dropped_windows=window.dropped_windows + unsaid)
            body = codec.encode(full)
            self._db.execute("update window set body = ? where seq = ?", (body, seq))
            self._add("bytes", len(body))
            self._add("dropped_unsaid", -unsaid)
            self._add("windows", 1)
            self._add("inferences", window.inferences)
        return seq

    def oldest(self, limit: int) -> tuple[Window, ...]:
        """Return up to `limit` windows that the server does not have, oldest first."""
        query = "select body from window order by seq limit ?"
        with self._using("read") as db:
            rows = db.execute(query, (limit,)).fetchall()
        return tuple(codec.decode(body, Window, where=str(self._path)) for (body,) in rows)

    def forget(self, accepted: Iterable[int], refused: Iterable[int] = ()) -> None:
        """Remove what the server has stored, and what it will never store; idempotent."""
        with self._transaction():
            for seq in accepted:
                self._remove(seq)
            for seq in refused:
                self._add("refused", self._remove(seq))

    def facts(self) -> SpoolFacts:
        """Return the counters."""
        with self._using("read") as db:
            waiting = int(db.execute("select count(*) from window").fetchone()[0])
            return SpoolFacts(
                spool_id=self.spool_id,
                waiting=waiting,
                waiting_bytes=self._fact("bytes"),
                windows=self._fact("windows"),
                inferences=self._fact("inferences"),
                dropped=self._fact("dropped"),
                refused=self._fact("refused"),
            )

    def close(self) -> None:
        """Close the file; what is not committed is undone. The next use opens it again."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _drop(self, *, room_for: int) -> None:
        while self._fact("bytes") + room_for > self._max_bytes:
            oldest = self.oldest(1)
            if not oldest:
                return
            self._remove(oldest[0].seq)
            self._add("dropped", 1)
            # What it would have said about earlier ones goes on to the next.
            self._add("dropped_unsaid", 1 + oldest[0].dropped_windows)

    def _remove(self, seq: int) -> int:
        row = self._db.execute(
            "delete from window where seq = ? returning length(body)", (seq,)
        ).fetchone()
        if row is None:
            return 0
        self._add("bytes", -int(row[0]))
        return 1

    def _fact(self, name: str) -> int:
        row = self._db.execute("select value from fact where name = ?", (name,)).fetchone()
        return int(row[0])

    def _add(self, name: str, amount: int) -> None:
        self._db.execute("update fact set value = value + ? where name = ?", (amount, name))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._using("written") as db:
            db.execute("begin immediate")
            try:
                yield
            except BaseException:
                with suppress(sqlite3.Error):
                    db.execute("rollback")
                raise
            db.execute("commit")

    @contextmanager
    def _using(self, done: str) -> Iterator[sqlite3.Connection]:
        try:
            yield self._db
        except sqlite3.Error as error:
            self.close()
            raise StorageError(f"cannot be {done} ({error})", where=str(self._path)) from error


def read_facts(path: Path) -> SpoolFacts | None:
    """Return the counters of a spool that others write, or None if there is none."""
    if not path.is_file():
        return None
    with closing(Spool(path, max_bytes=0)) as spool:
        return spool.facts()


def _open_or_renew(path: Path) -> sqlite3.Connection:
    try:
        try:
            return _open(path)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            _set_aside(path)
            return _open(path)
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"cannot be opened ({error})", where=str(path)) from error


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = normal")
        db.execute("begin immediate")
        if db.execute("pragma user_version").fetchone()[0] == 0:
            _make(db)
        db.execute("commit")
    except BaseException:
        db.close()
        raise
    return db


def _make(db: sqlite3.Connection) -> None:
    for statement in _SCHEMA.split(";"):
        if statement.strip():
            db.execute(statement)
    db.execute("insert into identity values (?)", (secrets.token_hex(8),))
    db.execute(f"pragma user_version = {SCHEMA_VERSION}")


def _set_aside(path: Path) -> None:
    path.replace(path.with_suffix(".damaged"))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
