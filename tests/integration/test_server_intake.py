"""Telemetry's hot path: one commit for many, each answered after it; on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import socket
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from sqlalchemy import select

from edgekit import codec
from edgekit.errors import ConflictError, FormatError
from edgekit.protocol import TelemetryBatch
from edgekit.telemetry import Window
from fleet_server.api.ddi import MAX_BATCH_BYTES
from fleet_server.api.intake import AT_ONCE, MOST_WAITING
from fleet_server.services.errors import BusyError
from fleet_server.services.gathering import Gathering
from fleet_server.services.records.devices import DeviceRecord
from fleet_server.services.records.telemetry import WindowRecord
from fleet_server.services.telemetry import TelemetryService
from fleet_server.store.backup import Seals, back_up
from fleet_server.store.database import SqlDatabase
from fleet_server.store.retention import export
from fleet_server.store.schema import window_days
from tests.integration.server_fleet import Engineer, Server, SimulatedDevice

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def database(database: SqlDatabase) -> SqlDatabase:
    """Return a database that knows one device."""
    with database.write() as tables:
        tables.devices.put(
            DeviceRecord(id="d1", token_sha256="t" * 64, enrolled_by="e" * 64, enrolled_at=NOW)
        )
    return database


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("intake") / "data") as server:
        Engineer.create(server, tmp_path_factory.mktemp("engineer"))
        yield server


def record(seq: int, *, device: str = "d1") -> WindowRecord:
    window = Window(
        seq=seq,
        model="m",
        digest="d" * 64,
        boot_id="b",
        ended_mono_s=1.0,
        duration_s=1.0,
        machine={"temperature_c": 71.5},
    )
    return WindowRecord(
        device_id=device, spool_id="s", window=window, received_at=NOW, ended_at=NOW
    )


def stored(database: SqlDatabase) -> int:
    with database.read() as tables:
        return sum(totals.windows for totals in tables.telemetry.totals("d1"))


def gathering_of(database: SqlDatabase) -> Gathering[Sequence[WindowRecord], int]:
    keep = TelemetryService(database).keep_all
    return Gathering(keep, at_once=AT_ONCE, waiting=MOST_WAITING, size=len)


def test_many_senders_share_a_commit(database: SqlDatabase) -> None:
    async def send() -> tuple[int, int]:
        gathering = gathering_of(database)
        await asyncio.gather(*(gathering.add([record(seq)]) for seq in range(1, 301)))
        await asyncio.sleep(0)
        return gathering.rounds, gathering.waiting

    rounds, waiting = asyncio.run(send())
    assert (stored(database), waiting) == (300, 0)
    assert rounds <= 10


def test_one_bad_batch_harms_no_other(database: SqlDatabase) -> None:
    async def send() -> list[BaseException | int]:
        gathering = gathering_of(database)
        batches = [[record(1)], [record(2, device="nobody")], [record(3)], [record(4)]]
        return await asyncio.gather(*map(gathering.add, batches), return_exceptions=True)

    first, bad, *rest = asyncio.run(send())
    assert isinstance(bad, FormatError)
    assert [first, *rest] == [1, 1, 1]
    assert stored(database) == 3


def test_who_comes_when_too_many_wait_is_told_so(database: SqlDatabase) -> None:
    async def send() -> None:
        gathering = gathering_of(database)
        with pytest.raises(BusyError):
            await gathering.add([record(1)] * (MOST_WAITING + 1))
        await gathering.add([record(1)])

    asyncio.run(send())
    assert stored(database) == 1


def test_a_busy_server_grants_smaller_batches(database: SqlDatabase) -> None:
    batch = TelemetryBatch(spool_id="s", boot_id="b", sent_mono_s=1.0, windows=())
    telemetry = TelemetryService(database)
    grants = [
        telemetry.prepare("d1", batch, received_at=NOW, load=load)[1].max_windows
        for load in (0.0, 0.5, 1.0)
    ]
    assert grants == [500, 250, 10]


def test_what_is_sent_twice_or_at_once_is_stored_once(server: Server) -> None:
    devices = [SimulatedDevice.enrol(server, f"twice-{n}") for n in range(4)]
    for device in devices:
        device.running = {"m": "d" * 64}
    windows = [replace(devices[0].window("m"), seq=seq) for seq in range(1, 41)]

    def send(index: int) -> None:
        devices[index % 4].send(windows[index % 20 : index % 20 + 20])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(80)))
    with server.client() as client:
        for device in devices:
            (totals,) = client.telemetry(device.name)
            assert (totals.windows, totals.first_seq) == (
                totals.last_seq - totals.first_seq + 1,
                totals.first_seq,
            )


def test_a_device_cannot_write_for_another(server: Server) -> None:
    one, two = (SimulatedDevice.enrol(server, name) for name in ("mine", "other"))
    one.running = {"m": "d" * 64}
    one.send([one.window("m")])
    body = codec.encode(TelemetryBatch(spool_id="s", boot_id="b", sent_mono_s=1.0, windows=()))
    for token in (two.token, "", one.token + "x"):
        headers = {"Authorization": f"TargetToken {token}"}
        answer = server.ask("POST", f"{one.path}/telemetry", body=body, headers=headers)
        assert (answer.status, answer.body) == (401, b"")


def test_a_body_is_bounded_in_size_while_it_arrives(server: Server) -> None:
    device = SimulatedDevice.enrol(server, "large")
    head = f"POST {device.path}/telemetry HTTP/1.1\r\nHost: x\r\n"
    head += f"Authorization: TargetToken {device.token}\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=90) as link:
        link.sendall(head.encode() + b"Content-Length: 99999999999\r\n\r\n")
        assert b" 413 " in link.recv(65536).split(b"\r\n")[0]
    assert device.ask("POST", "/telemetry", body=b"{").status == 400
    assert (
        device.ask("POST", "/telemetry", body=b"x", headers={"Content-Encoding": "br"}).status
        == 400
    )


def test_a_device_that_floods_costs_the_others_nothing(server: Server) -> None:
    flood, calm = (SimulatedDevice.enrol(server, name) for name in ("flood", "calm"))
    for device in (flood, calm):
        device.running = {"m": "d" * 64}
    head = TelemetryBatch(spool_id="s", boot_id="b", sent_mono_s=2.0, windows=())
    fat = replace(flood.window("m"), drift={f"s{n}": tuple(range(32)) for n in range(8)})
    bodies = [
        codec.encode(replace(head, windows=tuple(replace(fat, seq=s) for s in range(n, n + 400))))
        for n in range(1, 4001, 400)
    ]
    nonsense = b"[" * (MAX_BATCH_BYTES - 1)

    def pour(number: int) -> int:
        body = nonsense if number % 5 == 4 else bodies[number % len(bodies)]
        return flood.ask("POST", "/telemetry", body=body).status

    with ThreadPoolExecutor(6) as pool:
        poured = [pool.submit(pour, number) for number in range(30)]
        sent = [calm.window("m") for _ in range(10)]
        for window in sent:
            assert calm.send([window]).accepted == (window.seq,)
            assert calm.ask("GET", "").status == 200
    statuses = {future.result() for future in poured}
    assert {200, 400} <= statuses <= {200, 400, 429, 503}
    with server.client() as client:
        assert client.telemetry("calm")[0].windows == len(sent)
        assert client.telemetry("flood")[0].windows <= 3200


@pytest.mark.parametrize("address", ["sqlite"], indirect=True)
def test_the_file_grows_no_more_once_windows_were_kept_for_their_time(
    database: SqlDatabase,
) -> None:
    telemetry = TelemetryService(database, kept_days=2)
    pages, left = [], []
    for day in range(8):
        at = NOW + timedelta(days=day)
        first = 1 + 400 * day
        telemetry.keep([replace(record(first + n), received_at=at) for n in range(400)])
        telemetry.forget(now=at)
        left.append(stored(database))
        with database.snapshot() as connection:
            pages.append(connection.exec_driver_sql("PRAGMA page_count").scalar_one())
    assert left == [400, 800, *[1200] * 6]
    assert pages[-1] <= 1.2 * pages[4]


def test_old_windows_become_days_and_nothing_is_lost(database: SqlDatabase) -> None:
    telemetry = TelemetryService(database, kept_days=10)
    old = [
        replace(record(seq), received_at=NOW - timedelta(days=12 + seq % 2)) for seq in (1, 2, 3)
    ]
    telemetry.keep([*old, record(4)])
    later = NOW + timedelta(hours=1)
    again = TelemetryService(database, kept_days=10)
    assert [t.forget(now=later) for t in (telemetry, telemetry, again)] == [3, 0, 0]
    assert stored(database) == 1
    with database.snapshot() as connection:
        rows = connection.execute(
            select(window_days.c.day, window_days.c.windows).order_by(window_days.c.day)
        ).all()
    assert [tuple(row) for row in rows] == [("2026-11-08", 2), ("2026-11-09", 1)]


def test_windows_of_every_device_become_days(database: SqlDatabase) -> None:
    names = [f"e{number:03}" for number in range(450)]
    with database.write() as tables:
        d1 = tables.devices.get("d1")
        assert d1 is not None
        for name in names:
            tables.devices.put(replace(d1, id=name))
    telemetry = TelemetryService(database, kept_days=10)
    old = NOW - timedelta(days=12)
    telemetry.keep([replace(record(1, device=name), received_at=old) for name in names])
    assert telemetry.forget(now=NOW) == 450
    with database.snapshot() as connection:
        assert set(connection.execute(select(window_days.c.device)).scalars()) == set(names)


def test_a_warehouse_reads_the_export(database: SqlDatabase, tmp_path: Path) -> None:
    TelemetryService(database).keep([record(seq) for seq in range(1, 101)])
    out, day = tmp_path / "windows.parquet", NOW.replace(hour=0)
    with database.snapshot() as connection:
        assert export(connection, out, since=day, until=day + timedelta(days=1)) == 100
        with pytest.raises(ConflictError):
            export(connection, out, since=day, until=day)
    with duckdb.connect() as warehouse:
        row = warehouse.execute(
            "SELECT count(*), max(seq), epoch_us(min(received_at)), any_value(body::JSON->>'model')"
            ", max((body::JSON->'machine'->>'temperature_c')::DOUBLE)"
            f" FROM '{out}'"
        ).fetchone()
    assert row is not None
    assert (row[0], row[1], *row[3:]) == (100, 100, "m", 71.5)
    assert row[2] == int(NOW.timestamp() * 1_000_000)


def test_a_backup_holds_every_row_of_either_database(database: SqlDatabase, tmp_path: Path) -> None:
    TelemetryService(database).keep([record(seq) for seq in range(1, 1201)])
    seals = Seals(secret="none was used", passphrase="long enough")
    back_up(database, None, tmp_path / "b.tar", seals=seals, now=NOW)
    with tarfile.open(tmp_path / "b.tar") as archive:
        lines = archive.extractfile("tables/windows.jsonl")
        assert lines is not None
        assert len(lines.read().splitlines()) == 1200
