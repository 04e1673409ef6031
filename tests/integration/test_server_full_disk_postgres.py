"""PostgreSQL whose disk is full: refused with 507, nothing half-written, and later all goes on.

Server and PostgreSQL are real, and so is the full disk: the database lies in a tablespace on a
small tmpfs. What says so is PostgreSQL's own error 53100.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from edgekit.errors import StorageError
from edgekit.protocol import TelemetryBatch
from tests.integration.postgres import plain, running_postgres
from tests.integration.server_fleet import (
    Answer,
    Engineer,
    Server,
    SimulatedDevice,
    configured,
    drive,
    everybody,
    until,
)

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SIZE_MIB = 32
BATCH = 200


@dataclass
class Disk:
    """A small file system that a test fills to its last byte."""

    folder: Path

    def fill(self) -> None:
        with (self.folder / "filling").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    def empty(self) -> None:
        (self.folder / "filling").unlink()


@pytest.fixture
def disk() -> Iterator[Disk]:
    folder = Path(tempfile.mkdtemp(prefix="edgekit-disk-"))
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=0777", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("needs the right to mount a tmpfs")
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True, capture_output=True)
    folder.rmdir()


@pytest.fixture
def database_url(disk: Disk) -> Iterator[str]:
    """Return the address of a database on that disk; the log of transactions lies elsewhere."""
    space = disk.folder / "space"
    with running_postgres() as postgres:
        space.mkdir(mode=0o700)
        postgres.own(space)
        with psycopg.connect(plain(postgres.url), autocommit=True) as connection:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{space}'")
            connection.execute("CREATE DATABASE fleet TABLESPACE small")
        yield f"{postgres.url.rpartition('/')[0]}/fleet"


def send(device: SimulatedDevice) -> tuple[set[int], Answer]:
    windows = tuple(device.window("digits") for _ in range(BATCH))
    batch = TelemetryBatch(spool_id="spool", boot_id="boot", sent_mono_s=1e9, windows=windows)
    return {w.seq for w in windows}, device.ask("POST", "/telemetry", body=batch)


def publish_many(engineer: Engineer) -> None:
    for number in range(1000):
        engineer.publish(f"9.{number}.0")


def stored(url: str) -> set[int]:
    with psycopg.connect(plain(url)) as connection:
        return {seq for (seq,) in connection.execute("SELECT seq FROM windows").fetchall()}


def test_a_full_disk_of_postgresql_refuses_and_afterwards_all_goes_on(
    disk: Disk, database_url: str, tmp_path: Path
) -> None:
    with Server(configured(tmp_path / "data", database=database_url)) as server:
        engineer = Engineer.create(server, tmp_path / "engineer")
        for version in ("1.0.0", "2.0.0"):
            engineer.publish(version)
        device = SimulatedDevice.enrol(server, "one")
        first = engineer.roll_out("1.0.0", **everybody())
        assert drive(server, [device], first.id).phase == "finished"
        acknowledged = stored(database_url)

        disk.fill()
        refused: Answer | None = None
        for _ in range(100):  # pages that are there take some more
            sent, answer = send(device)
            assert answer.status in {200, 507}, answer
            if answer.status == 507:
                refused = answer
                break
            acknowledged |= sent
        assert refused is not None
        assert refused.json["errorCode"].endswith("insufficient_storage")
        assert stored(database_url) == acknowledged, "all of a batch or nothing"
        assert "deploymentBase" not in device.poll(), "what only has to be read is answered"
        assert server.ask("GET", "/api/v1/health").status == 200
        with pytest.raises(StorageError):
            publish_many(engineer)

        disk.empty()
        sent, answer = send(device)
        assert answer.status == 200
        assert stored(database_url) == acknowledged | sent
        second = engineer.roll_out("2.0.0", **everybody())
        assert drive(server, [device], second.id).phase == "finished"
        engineer.publish("10.0.0")
        assert "Traceback" not in server.log()
        until(lambda: "leads=True" in server.log())
