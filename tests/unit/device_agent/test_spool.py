"""The spool: numbers without gaps, bounded, nothing forgotten before it is stored elsewhere."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from device_agent.spool import Spool, read_facts
from edgekit.errors import StorageError
from edgekit.telemetry import Window


def window(inferences: int = 1) -> Window:
    return Window(
        seq=0,
        model="digits",
        digest="d",
        boot_id="b",
        ended_mono_s=1.0,
        duration_s=1.0,
        inferences=inferences,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.sqlite"


def test_numbers_have_no_gaps_across_writers_and_restarts(path: Path) -> None:
    for _ in range(3):
        with closing(Spool(path, max_bytes=1 << 20)) as a, closing(Spool(path, max_bytes=99)) as b:
            assert a.spool_id == b.spool_id
            a.append(window())
            a.append(window())
    with closing(Spool(path, max_bytes=1 << 20)) as spool:
        assert [w.seq for w in spool.oldest(99)] == [1, 2, 3, 4, 5, 6]


def test_only_what_the_receipt_lists_is_forgotten(path: Path) -> None:
    with closing(Spool(path, max_bytes=1 << 20)) as spool:
        for _ in range(4):
            spool.append(window(5))
        for _ in range(2):
            spool.forget([1, 3, 77], [4])
        assert [w.seq for w in spool.oldest(99)] == [2]
        facts = spool.facts()
        assert (facts.waiting, facts.windows, facts.inferences, facts.refused) == (1, 4, 20, 1)
        spool.forget([2])
        assert spool.facts().waiting_bytes == 0
        assert spool.append(window()) == 5


def test_the_oldest_go_first_and_the_next_window_says_how_many(path: Path) -> None:
    with closing(Spool(path, max_bytes=1 << 20)) as spool:
        spool.append(window())
        one = spool.facts().waiting_bytes
    with closing(Spool(path, max_bytes=3 * one + one // 2)) as spool:
        for _ in range(5):
            spool.append(window())
        kept = spool.oldest(99)
        assert [w.seq for w in kept] == [4, 5, 6]
        assert [w.dropped_windows for w in kept] == [1, 1, 1]
        assert spool.facts().dropped == 3
        assert spool.facts().waiting_bytes <= 3 * one + one // 2


def test_a_failed_write_changes_nothing(path: Path) -> None:
    with closing(Spool(path, max_bytes=1 << 20)) as spool:
        spool.append(window())
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute(
                "create trigger full before update on fact"
                " begin select raise(abort, 'disk full'); end"
            )
        with pytest.raises(StorageError):
            spool.append(window())
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("drop trigger full")
        assert spool.append(window()) == 2
        assert [w.seq for w in spool.oldest(9)] == [1, 2]


def test_a_connection_that_refuses_to_write_is_replaced(path: Path) -> None:
    """As after a disk that was read-only for a moment: SQLite then refuses for ever."""
    spool = Spool(path, max_bytes=1 << 20)
    spool.append(window())
    spool._db.execute("pragma query_only = on")
    with pytest.raises(StorageError, match="readonly"):
        spool.append(window())
    assert spool.append(window()) == 2
    spool.close()


def test_a_file_that_cannot_be_read_is_an_error_of_storage_and_tried_again(path: Path) -> None:
    spool = Spool(path, max_bytes=1 << 20)
    spool.append(window())
    for read in (spool.facts, lambda: spool.oldest(1), lambda: spool.spool_id):
        spool._db.close()
        with pytest.raises(StorageError, match="cannot be read"):
            read()
        read()
    spool.close()


def test_a_damaged_file_is_set_aside_and_the_new_one_has_another_name(path: Path) -> None:
    with closing(Spool(path, max_bytes=1 << 20)) as spool:
        spool.append(window())
        first = spool.spool_id
    path.write_bytes(b"no database " * 999)
    with closing(Spool(path, max_bytes=1 << 20)) as spool:
        assert spool.spool_id != first
        assert spool.append(window()) == 1
    assert path.with_suffix(".damaged").exists()


def test_there_are_no_facts_before_the_first_start(path: Path) -> None:
    assert read_facts(path) is None
    assert not path.exists()
