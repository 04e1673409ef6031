"""Short writers that wait share a commit, on a real SQLite file and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from edgekit.errors import ConflictError, StorageError
from fleet_server.services.errors import UnavailableError
from fleet_server.services.records.flags import FlagRecord
from fleet_server.store import sharing
from fleet_server.store.database import SqlDatabase, SqlTables
from fleet_server.store.sharing import MOST_TOGETHER
from tests.integration.server_fleet import until

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
WRITERS = 10


@contextmanager
def in_line(database: SqlDatabase, works: list[Callable[[], None]]) -> Iterator[list[Future[None]]]:
    """Have writers wait in the order of the list; they go when the block ends."""
    with ThreadPoolExecutor(len(works)) as pool, database.write():
        futures = []
        for number, work in enumerate(works, start=1):
            futures.append(pool.submit(work))
            until(lambda: len(database.writers.line) == number)  # noqa: B023 (called at once)
        yield futures


def count(tables: SqlTables, name: str = "n") -> int:
    flag = tables.flags.get(name)
    return int(flag.value) if flag is not None else 0


def add_one(database: SqlDatabase) -> None:
    with database.together() as tables:
        tables.flags.put(flag_of(count(tables) + 1))
        tables.changes.record("one")


def flag_of(number: int) -> FlagRecord:
    return FlagRecord(name="n", value=str(number), by="", at=NOW)


def refuse(database: SqlDatabase) -> None:
    with database.together() as tables:
        tables.flags.put(flag_of(1000))
        raise ConflictError("not this one")


def break_down(database: SqlDatabase) -> None:
    """Have the database fail for real: no room, or the session is ended."""
    with database.writers.together() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA max_page_count = 1")
            connection.exec_driver_sql("CREATE TABLE big AS SELECT zeroblob(4194304)")
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")


def commits_of(database: SqlDatabase) -> list[int]:
    """Return a list that grows by one with each commit from now on."""
    commits: list[int] = []
    event.listen(database.engine, "commit", lambda connection: commits.append(id(connection)))
    return commits


def stored(database: SqlDatabase) -> int:
    with database.read() as tables:
        return count(tables)


def test_who_waits_shares_a_commit_and_sees_what_those_before_it_wrote(
    database: SqlDatabase,
) -> None:
    commits = commits_of(database)
    with in_line(database, [lambda: add_one(database)] * WRITERS) as futures:
        before = database.commits
    assert [future.result() for future in futures] == [None] * WRITERS
    assert stored(database) == WRITERS
    assert len(commits) == 2  # of who held them up, and theirs
    assert database.commits == before + WRITERS


def test_one_that_is_refused_is_taken_back_alone(database: SqlDatabase) -> None:
    works = [lambda: add_one(database), lambda: refuse(database), lambda: add_one(database)]
    for order in (works, [works[1], works[0], works[2]]):
        before = stored(database)
        with in_line(database, order) as futures:
            pass
        errors = [future.exception() for future in futures]
        assert [type(error) for error in errors].count(ConflictError) == 1
        assert errors.count(None) == 2
        assert stored(database) == before + 2


def test_when_the_database_fails_one_nobody_is_told_that_it_is_stored(
    database: SqlDatabase,
) -> None:
    works = [lambda: add_one(database), lambda: break_down(database), lambda: add_one(database)]
    with in_line(database, works) as futures:
        pass
    assert isinstance(futures[0].exception(), StorageError)
    assert isinstance(futures[1].exception(), OperationalError)
    assert futures[2].exception() is None  # in a transaction of its own
    assert stored(database) == 1


def test_a_commit_is_shared_by_so_many_and_no_more(database: SqlDatabase) -> None:
    commits = commits_of(database)
    with in_line(database, [lambda: add_one(database)] * (MOST_TOGETHER + 3)):
        pass
    assert stored(database) == MOST_TOGETHER + 3
    assert len(commits) == 3


def test_who_writes_alone_is_in_nobodys_commit(database: SqlDatabase) -> None:
    commits = commits_of(database)

    def alone() -> None:
        with database.write() as tables:
            tables.flags.put(flag_of(10 * count(tables)))

    works = [lambda: add_one(database), alone, lambda: add_one(database)]
    with in_line(database, works):
        pass
    assert stored(database) == 11
    assert len(commits) == 4


def test_who_waits_too_long_is_told_so_and_harms_nobody(
    database: SqlDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with database.write():
            monkeypatch.setattr(sharing, "_TIMEOUT_S", 0.05)
            error = pool.submit(add_one, database).exception()
        assert isinstance(error, UnavailableError)
    monkeypatch.undo()
    add_one(database)
    assert stored(database) == 1
