"""The contract of the store, on a real SQLite file and on a real PostgreSQL."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError, InternalError

from edgekit.device import Requirements
from edgekit.errors import FormatError, StorageError
from edgekit.telemetry import LogHistogram, Window
from fleet_server.api.board import Board, Seat
from fleet_server.domain.deployment import Deployment
from fleet_server.domain.goal import ReleaseState
from fleet_server.domain.selector import parse_selector
from fleet_server.services.records.deployments import DeploymentRecord
from fleet_server.services.records.devices import DeviceRecord, EnrolmentRecord
from fleet_server.services.records.events import EventRecord
from fleet_server.services.records.releases import ReleaseRecord, VariantRecord
from fleet_server.services.records.telemetry import WindowRecord
from fleet_server.store.blobs import FolderBlobs
from fleet_server.store.database import SqlDatabase
from fleet_server.store.schema import metadata
from fleet_server.store.turns import turn_of
from tests.integration.server_fleet import until

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DEVICE = DeviceRecord(
    id="one", token_sha256="t" * 64, enrolled_by="e" * 64, enrolled_at=NOW, labels={"a": "b"}
)


def test_migrations_make_exactly_the_tables_and_take_them_away(database: SqlDatabase) -> None:
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.migrate("base")
    assert set(inspect(database.engine).get_table_names()) == {"alembic_version"}
    database.migrate()
    database.migrate()  # nothing to do is fine
    with database.read() as tables:
        assert tables.changes.version() == 0


def test_sqlite_has_a_log_that_is_synced_and_foreign_keys(tmp_path: Path) -> None:
    database = SqlDatabase.open(f"sqlite:///{tmp_path / 'fleet.sqlite'}")
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()


def test_foreign_keys_are_on(database: SqlDatabase) -> None:
    with pytest.raises(IntegrityError), database.write() as tables:
        tables.deployments.add(deployment("nobody"))


def test_a_failed_write_leaves_nothing(database: SqlDatabase) -> None:
    def fail() -> None:
        with database.write() as tables:
            tables.devices.put(DEVICE)
            tables.changes.record("one")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with database.read() as tables:
        assert tables.devices.get("one") is None
        assert tables.changes.version() == 0
    assert database.commits == 0


def test_a_broken_database_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "fleet.sqlite").mkdir()
    broken = SqlDatabase.open(f"sqlite:///{tmp_path / 'fleet.sqlite'}")
    with pytest.raises(StorageError, match="the database failed"):
        broken.migrate()
    broken.close()


def test_devices_come_back_as_they_went(database: SqlDatabase) -> None:
    seen = NOW + timedelta(microseconds=1)
    with database.write() as tables:
        tables.devices.put(DEVICE)
        tables.devices.seen({"one": seen, "nobody": NOW})
    with database.read() as tables:
        assert tables.devices.get("one") == replace(DEVICE, last_seen_at=seen)
        assert tables.devices.get("nobody") is None


def test_pages_go_on_until_enough_match(database: SqlDatabase) -> None:
    with database.write() as tables:
        for number in range(2500):
            labels = {"odd": "yes"} if number % 2 else {}
            tables.devices.put(replace(DEVICE, id=f"d{number:04}", labels=labels))
    with database.read() as tables:
        page = tables.devices.page(selector=parse_selector("odd=yes"), after="d0003", limit=600)
        assert [d.id for d in page[:2]] == ["d0005", "d0007"]
        assert len(page) == 600
        assert (
            len(tables.devices.page(selector=parse_selector("odd=yes"), after="", limit=None))
            == 1250
        )


def test_a_device_has_one_open_deployment_at_most(database: SqlDatabase) -> None:
    with database.write() as tables:
        tables.devices.put(DEVICE)
        first = tables.deployments.add(deployment("one"))
    assert first.deployment.id == 1
    with pytest.raises(IntegrityError), database.write() as tables:
        tables.deployments.add(deployment("one"))
    with database.read() as tables:
        assert tables.deployments.of_devices(["one", "two"]) == {"one": [first]}


def test_tokens_are_replaced_whole(database: SqlDatabase) -> None:
    record = EnrolmentRecord(token_sha256="x" * 64, uses_left=2, expires_at=NOW, labels={"a": "b"})
    with database.write() as tables:
        tables.tokens.put_enrolment(record)
        tables.tokens.put_enrolment(replace(record, uses_left=1))
    with database.read() as tables:
        assert tables.tokens.enrolment("x" * 64) == replace(record, uses_left=1)


def test_a_bundle_is_listed_while_one_release_of_it_is(database: SqlDatabase) -> None:
    variant = VariantRecord(
        variant="v",
        digest="a" * 64,
        sha1="",
        md5="",
        size=1,
        target="t",
        requires=Requirements(runtimes=()),
    )
    first = ReleaseRecord(
        model="m",
        version="1",
        state=ReleaseState.LISTED,
        published_at=NOW,
        variants=(variant,),
    )
    with database.write() as tables:
        for version in ("1", "2"):
            tables.releases.add(replace(first, version=version))
        assert tables.releases.lists("a" * 64)
        assert not tables.releases.lists("b" * 64)
        tables.releases.set_state("m", "1", ReleaseState.REVOKED)
        assert tables.releases.lists("a" * 64)
        tables.releases.set_state("m", "2", ReleaseState.WITHDRAWN)
        assert not tables.releases.lists("a" * 64)


def test_windows_add_up_once_and_within_their_interval(database: SqlDatabase) -> None:
    records = [window(seq, ended_at=NOW + timedelta(seconds=seq)) for seq in range(1, 5)]
    with database.write() as tables:
        tables.devices.put(DEVICE)
        tables.telemetry.add([*records, window(9, ended_at=None)])
        tables.telemetry.add(records)
    with database.read() as tables:
        summary = tables.telemetry.summary(
            "one", "m", "d" * 64, since=NOW + timedelta(seconds=1), until=NOW + timedelta(seconds=3)
        )
        assert (summary.windows, summary.inferences, summary.errors) == (2, 24, 4)
        assert summary.latencies == 4
        assert summary.max_rss_bytes == 3 << 20
        (totals,) = tables.telemetry.totals("one")
        assert (totals.windows, totals.first_seq, totals.last_seq) == (5, 1, 9)
        ids, since = ["one", "nobody"], NOW + timedelta(seconds=2)
        assert tables.telemetry.windows_since(ids, "m", since) == {"one": 2}
        late = NOW + timedelta(seconds=99)
        assert tables.telemetry.last_digest("one", "m", before=late) == "d" * 64
        assert tables.telemetry.last_digest("one", "m", before=late, other_than="d" * 64) is None


def test_the_board_forgets_what_changed_and_keeps_the_rest(database: SqlDatabase) -> None:
    board = Board(database)
    board.refresh()
    for name in ("one", "two"):
        board.put(name, Seat("t", (), b"", 0))
    with database.write() as tables:
        tables.changes.record("one")
    board.refresh()
    assert (board.find("one"), board.find("two") is None) == (None, False)
    with database.write() as tables:
        tables.changes.record(None)
    board.refresh()
    assert board.find("two") is None


def test_an_answer_that_a_change_overtook_is_not_kept(database: SqlDatabase) -> None:
    board = Board(database)
    with database.write() as tables:
        tables.changes.record("one")
    board.refresh()
    board.put("one", Seat("t", (), b"", 0))
    assert board.find("one") is None
    board.put("one", Seat("t", (), b"", 1))
    assert board.find("one") is not None


def test_a_board_that_is_far_behind_starts_anew(database: SqlDatabase) -> None:
    board = Board(database)
    board.refresh()
    board.put("one", Seat("t", (), b"", 0))
    with database.write() as tables:
        for _ in range(5):
            tables.changes.record("two")
        tables.changes.forget_before(4)
    board.refresh()
    assert board.find("one") is None


def test_a_blob_is_whole_or_not_there(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path / "blobs")
    data = os.urandom(1000)
    name = hashlib.sha256(data).hexdigest()
    with blobs.open_part(name, offset=0) as file:
        file.write(data[:500])
    assert (blobs.find(name), blobs.received(name)) == (None, 500)
    with blobs.open_part(name, offset=500) as file:
        file.write(data[500:])
    assert blobs.finish(name).read_bytes() == data
    assert blobs.find(name) is not None
    assert blobs.received(name) == 0
    with blobs.open_part("0" * 64, offset=0) as file:
        file.write(data)
    with pytest.raises(FormatError, match="another digest"):
        blobs.finish("0" * 64)
    assert blobs.received("0" * 64) == 0
    for bad in ("../x", "A" * 64, "0" * 63):
        with pytest.raises(FormatError):
            blobs.find(bad)


def test_others_see_nothing_of_a_write_before_it_is_whole(
    database: SqlDatabase, address: str
) -> None:
    other = SqlDatabase.open(address)
    with database.write() as tables:
        tables.devices.put(replace(DEVICE, id="two"))
        with other.read() as before:
            assert before.devices.get("two") is None
    with other.read() as after:
        assert after.devices.get("two") is not None
    other.close()


def test_a_reader_sees_one_state_while_others_write(database: SqlDatabase) -> None:
    with database.read() as tables:
        assert tables.devices.get("one") is None
        with database.write() as others:
            others.devices.put(DEVICE)
        assert tables.devices.get("one") is None


def test_a_reader_cannot_write(database: SqlDatabase) -> None:
    if database.engine.dialect.name == "sqlite":
        with database.read() as tables:
            tables.devices.put(DEVICE)
    else:
        with pytest.raises(InternalError, match="read-only"), database.read() as tables:
            tables.devices.put(DEVICE)
    with database.read() as tables:
        assert tables.devices.get("one") is None


def test_writers_of_several_processes_take_turns(database: SqlDatabase, address: str) -> None:
    others = [database, SqlDatabase.open(address)]
    record = EnrolmentRecord(token_sha256="x" * 64, uses_left=40, expires_at=NOW, labels={})
    with database.write() as tables:
        tables.tokens.put_enrolment(record)

    def take(which: int) -> None:
        with others[which % 2].write() as tables:
            found = tables.tokens.enrolment("x" * 64)
            assert found is not None
            tables.tokens.put_enrolment(replace(found, uses_left=found.uses_left - 1))
            tables.changes.record(None)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, range(40)))
    with database.read() as tables:
        left = tables.tokens.enrolment("x" * 64)
        assert left is not None
        assert left.uses_left == 0
        assert [number for number, _ in tables.changes.since(0)] == list(range(1, 41))
    others[1].close()


def test_the_same_windows_from_several_at_once_are_stored_once(
    database: SqlDatabase, address: str
) -> None:
    others = [database, SqlDatabase.open(address)]
    with database.write() as tables:
        tables.devices.put(DEVICE)
    records = [window(seq, ended_at=NOW) for seq in range(1, 101)]

    def send(which: int) -> None:
        mixed = records if which % 3 else list(reversed(records))
        with others[which % 2].append() as tables:
            tables.telemetry.add(mixed)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(24)))
    with database.read() as tables:
        (totals,) = tables.telemetry.totals("one")
    assert (totals.windows, totals.inferences) == (100, 1000)
    assert (type(totals.inferences), type(totals.sum_log_latency)) == (int, float)
    others[1].close()


def test_what_cannot_be_stored_is_bad_input(database: SqlDatabase) -> None:
    with pytest.raises(FormatError, match="cannot be stored"), database.read() as tables:
        tables.devices.get("\ud800")
    with pytest.raises(FormatError, match="cannot be stored"), database.read() as tables:
        tables.deployments.get(1 << 63)


def test_processes_that_start_at_once_migrate_once(address: str) -> None:
    program = (
        "import sys; from fleet_server.store.database import SqlDatabase;"
        " SqlDatabase.open(sys.argv[1]).migrate()"
    )
    several = [subprocess.Popen([sys.executable, "-c", program, address]) for _ in range(3)]
    assert [process.wait(timeout=180) for process in several] == [0, 0, 0]
    database = SqlDatabase.open(address)
    with database.read() as tables:
        assert tables.changes.version() == 0
    database.close()


def test_one_scheduler_holds_the_turn_and_its_end_frees_it(address: str, tmp_path: Path) -> None:
    several = [SqlDatabase.open(address) for _ in range(2)]
    first, second = (turn_of(database, tmp_path) for database in several)
    assert [first.mine(), second.mine(), first.mine(), second.mine()] == [True, False, True, False]
    first.release()
    until(second.mine)  # PostgreSQL ends a session a moment after its connection
    assert not first.mine()
    second.release()
    for one in several:
        one.close()


def deployment(device_id: str) -> DeploymentRecord:
    offered = Deployment(
        id=0,
        device_id=device_id,
        rollout_id="r",
        model="m",
        version="1",
        variant="v",
        offered_at=NOW,
        changed_at=NOW,
    )
    return DeploymentRecord(deployment=offered, digest="d" * 64)


def window(seq: int, *, ended_at: datetime | None) -> WindowRecord:
    sent = Window(
        seq=seq,
        model="m",
        digest="d" * 64,
        boot_id="b",
        ended_mono_s=1.0,
        duration_s=1.0,
        inferences=10,
        errors={"infer": 1, "pre": 1},
        latency_ms=LogHistogram.of([1.0, 2.0]),
        rss_mb=float(seq),
    )
    return WindowRecord(
        device_id="one", spool_id="s", window=sent, received_at=NOW, ended_at=ended_at
    )


def test_what_happened_to_rollouts_before_there_were_events_becomes_events(
    database: SqlDatabase,
) -> None:
    database.migrate("base")
    database.migrate("0070")
    with database.bulk() as connection:
        connection.execute(
            text(
                "INSERT INTO rollouts (id, model, version, phase, open, created_at, selector, body)"
                " VALUES ('r', 'digits', '1.0.0', 'running', true, '2026-11-21 12:00:00', '', '{}')"
            )
        )
        for number in (3, 7):
            connection.execute(
                text(
                    "INSERT INTO happenings (id, rollout, at, kind, stage, text, body)"
                    " VALUES (:n, 'r', '2026-11-21 12:00:00', 'promoted', :n, 'passed', '{}')"
                ),
                {"n": number},
            )
    database.migrate()
    with database.write() as tables:
        told = tables.events.after(3, limit=10)
        assert [(e.id, e.rollout, e.model, e.stage) for e in told] == [(7, "r", "digits", 7)]
        tables.events.tell(EventRecord(at=NOW, kind="fleet_frozen", text="Frozen."))
        assert tables.events.latest() == 8


def test_numbers_of_forgotten_events_are_not_given_again(database: SqlDatabase) -> None:
    with database.write() as tables:
        for at in (NOW, NOW + timedelta(days=1)):
            tables.events.tell(EventRecord(at=at, kind="fleet_frozen", text="Frozen."))
        before = tables.events.latest()
        tables.events.forget_before(NOW + timedelta(days=2))
        assert tables.events.latest() == 0
        tables.events.tell(EventRecord(at=NOW, kind="fleet_frozen", text="Frozen."))
        assert tables.events.latest() > before


def test_what_many_devices_ran_last_is_what_each_ran_last(database: SqlDatabase) -> None:
    ids = [f"d{number}" for number in range(5)]
    with database.write() as tables:
        for index, device_id in enumerate(ids):
            tables.devices.put(replace(DEVICE, id=device_id))
            records = []
            for seq in range(1, 6 if index < 4 else 1):
                ended_at = NOW + timedelta(minutes=seq) if seq != 4 else None
                made = window(seq, ended_at=ended_at)
                digest = "ab"[(seq * (index + 1)) % 2] * 64
                ran = replace(made.window, digest=digest)
                records.append(replace(made, device_id=device_id, window=ran))
            tables.telemetry.add(records)
    for minutes in (0, 1, 2, 3, 9):
        before = NOW + timedelta(minutes=minutes)
        with database.read() as tables:
            last = tables.telemetry.last_digests(ids, "m", since=None, before=before)
            each = {d: tables.telemetry.last_digest(d, "m", before=before) for d in ids}
            recent = tables.telemetry.last_digests(ids, "m", since=NOW, before=NOW)
        assert last == {d: digest for d, digest in each.items() if digest is not None}
        assert recent == {}
