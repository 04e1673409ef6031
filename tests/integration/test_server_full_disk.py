"""A server whose disk is full: what cannot be kept is refused with 507, and later all goes on.

The server, its SQLite file and its bundles are real; writes fail with the real error number in the
real process (`fs_shim.c`) for as long as a test says.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgekit.client.wire.admission import NewEnrolmentToken
from edgekit.errors import EdgeKitError, StorageError
from edgekit.protocol import TelemetryBatch
from tests.integration.server_fleet import (
    Answer,
    Engineer,
    Server,
    SimulatedDevice,
    drive,
    everybody,
    until,
)
from tests.integration.shims import build_shim

pytestmark = [pytest.mark.integration, pytest.mark.needs("cc")]


@dataclass
class Disk:
    """The server's disk, full or not."""

    flag: Path

    def fill(self) -> None:
        self.flag.touch()

    def empty(self) -> None:
        self.flag.unlink()


@dataclass
class Scene:
    """A server with one release that runs on one device."""

    server: Server
    engineer: Engineer
    device: SimulatedDevice
    disk: Disk

    @property
    def blobs(self) -> set[str]:
        return {path.name for path in (self.server.data / "blobs").glob("??/" + "?" * 64)}

    @property
    def stored(self) -> set[int]:
        with sqlite3.connect(self.server.data / "fleet.sqlite") as database:
            (state,) = database.execute("PRAGMA integrity_check").fetchone()
            assert state == "ok"
            return {seq for (seq,) in database.execute("SELECT seq FROM windows")}

    def send(self, seq: int) -> Answer:
        self.device.seq = seq - 1
        batch = TelemetryBatch(
            spool_id="spool",
            boot_id="boot",
            sent_mono_s=1e9,
            windows=(self.device.window("digits"),),
        )
        return self.device.ask("POST", "/telemetry", body=batch)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    tmp_path = tmp_path_factory.mktemp("full-disk")
    flag = tmp_path / "full"
    server = Server(tmp_path / "server")
    server.init()
    server.environment = {
        "LD_PRELOAD": str(build_shim("fs_shim", tmp_path)),
        "FS_FOLDER": str(server.data),
        "FS_FLAG": str(flag),
    }
    server.start()
    try:
        engineer = Engineer.create(server, tmp_path / "engineer")
        engineer.publish("1.0.0")
        device = SimulatedDevice.enrol(server, "one")
        rollout = engineer.roll_out("1.0.0", **everybody())
        assert drive(server, [device], rollout.id).phase == "finished"
        yield Scene(server, engineer, device, Disk(flag))
    finally:
        server.stop()


def problem_of(ask: Callable[[], object]) -> EdgeKitError:
    with pytest.raises(StorageError) as caught:
        ask()
    return caught.value


def test_nothing_is_half_written_and_all_goes_on_when_there_is_room(scene: Scene) -> None:
    server, device = scene.server, scene.device
    before, blobs = scene.stored, scene.blobs
    first = max(before) + 1
    device.poll()
    scene.disk.fill()

    refused = scene.send(first)
    assert refused.status == 507
    assert refused.json["errorCode"].endswith("insufficient_storage")
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    refused = server.ask("POST", "/api/v1/enrolment-tokens", body=b"{}", headers=headers)
    assert (refused.status, refused.headers["content-type"]) == (507, "application/problem+json")
    assert refused.json["status"] == 507
    assert server.token not in refused.body.decode()
    problem_of(lambda: scene.engineer.publish("2.0.0"))
    problem_of(lambda: scene.engineer.roll_out("1.0.0", **everybody()))
    device.poll()  # what only has to be read is answered
    with server.client() as client:
        assert [r.version for r in client.releases()] == ["1.0.0"]
    assert server.ask("GET", "/api/v1/alive").status == 200

    scene.disk.empty()
    assert scene.blobs == blobs
    assert scene.stored == before
    until(lambda: scene.send(first).status == 200)
    assert scene.stored == before | {first}
    scene.engineer.publish("2.0.0")
    rollout = scene.engineer.roll_out("2.0.0", **everybody())
    device.seq = first
    assert drive(server, [device], rollout.id).phase == "finished"
    with server.client() as client:
        assert sorted(r.version for r in client.releases()) == ["1.0.0", "2.0.0"]
        client.create_enrolment_token(NewEnrolmentToken())
        assert sum(t.windows for t in client.telemetry("one")) == len(scene.stored)
    assert "Traceback" not in server.log()


def test_windows_that_were_acknowledged_around_a_full_disk_are_there(scene: Scene) -> None:
    acknowledged = set()
    first = max(scene.stored) + 1
    for seq in range(first, first + 30):
        if (seq - first) % 10 == 5:
            scene.disk.fill()
        if (seq - first) % 10 == 8:
            scene.disk.empty()
        answer = scene.send(seq)
        assert answer.status in {200, 507}
        if answer.status == 200:
            acknowledged.add(seq)
    assert len(acknowledged) == 30 - 9
    assert {seq for seq in scene.stored if seq >= first} == acknowledged


def test_a_full_disk_in_one_process_hides_no_revocation_from_it(scene: Scene) -> None:
    two = Server(scene.server.data, log="log-two")
    two.start()
    try:
        full = SimulatedDevice.enrol(scene.server, "stolen")
        assert full.poll() == full.poll()
        scene.disk.fill()
        with two.client() as client:
            client.revoke("stolen", "stolen")
        until(lambda: full.poll_answer().status == 401)
    finally:
        scene.disk.empty()
        two.stop()
