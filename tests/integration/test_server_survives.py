"""What a server must survive: SIGKILL while it publishes, steps and takes telemetry."""

from __future__ import annotations

import http.client
import random
import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.errors import EdgeKitError
from fleet_server.services.tokens import digest_of
from fleet_server.store.database import SqlDatabase
from tests.integration.server_fleet import (
    Engineer,
    Server,
    SimulatedDevice,
    everybody,
    kill,
    until,
)

pytestmark = pytest.mark.integration

ROUNDS = [pytest.param(3, id="short"), pytest.param(200, id="long", marks=pytest.mark.soak)]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rounds", ROUNDS)
def test_sigkill_loses_no_acknowledged_window_and_no_acknowledged_release(
    tmp_path: Path, rounds: int
) -> None:
    rng = random.Random(20261121)
    with Server(tmp_path / "server") as server:
        engineer = Engineer.create(server, tmp_path)
        device = SimulatedDevice.enrol(server, "one")
        device.running = {"digits": "d" * 64}
        acknowledged: set[int] = set()
        published: set[str] = set()
        for round_number in range(rounds):
            sender = threading.Thread(target=_send_until_dead, args=(device, acknowledged))
            versions = [f"{round_number}.{n}.0" for n in range(20)]
            publisher = threading.Thread(
                target=_publish_until_dead, args=(engineer, versions, published)
            )
            sender.start()
            publisher.start()
            enough = len(acknowledged) + rng.randint(1, 40)
            while len(acknowledged) < enough:
                time.sleep(0.01)
            assert server.process is not None
            kill(server.process)
            sender.join()
            publisher.join()
            server.start()
            assert acknowledged <= _stored(server), "an acknowledged window is gone"
            with server.client() as client:
                assert published <= {release.version for release in client.releases()}
        engineer.publish("9.0.0")  # whatever was interrupted is in nobody's way
        with server.client() as client:
            (totals,) = client.telemetry("one")
        assert totals.windows == len(_stored(server))


def _send_until_dead(device: SimulatedDevice, acknowledged: set[int]) -> None:
    while True:
        try:
            receipt = device.send([device.window("digits") for _ in range(3)])
        except (OSError, http.client.HTTPException):
            return
        acknowledged.update(receipt.accepted)


def _publish_until_dead(engineer: Engineer, versions: list[str], published: set[str]) -> None:
    for version in versions:
        try:
            engineer.publish(version)
        except EdgeKitError:
            return
        published.add(version)


def _stored(server: Server) -> set[int]:
    with sqlite3.connect(server.data / "fleet.sqlite") as database:
        return {seq for (seq,) in database.execute("SELECT seq FROM windows")}


@pytest.mark.slow
def test_a_rollout_goes_on_after_sigkill_and_skips_no_stage(tmp_path: Path) -> None:
    with Server(tmp_path / "server") as server:
        engineer = Engineer.create(server, tmp_path)
        devices = [SimulatedDevice.enrol(server, f"d{n}") for n in range(3)]
        engineer.publish("1.0.0")
        stage = {"bake_s": 0, "timeout_s": 3600, "min_windows": 3}
        stages = [{"devices": n, **stage} for n in (1, 2)] + [{"percent": 100, **stage}]
        rollout = engineer.roll_out("1.0.0", stages=stages, gate={"mode": "must_not_fail"})
        for _ in range(3):
            for _ in range(2):
                for device in devices:
                    device.turn()
            assert server.process is not None
            kill(server.process)
            server.start()
        with server.client() as client:

            def finished() -> bool:
                for device in devices:
                    device.turn()
                return client.rollout(rollout.id).phase == "finished"

            until(finished)
            happenings = client.rollout(rollout.id).happenings
            for device in devices:
                assert [e.state for e in client.history(device.name)] == ["committed"]
        assert [h.stage for h in happenings if h.kind == "promoted"] == [0, 1, 2]
        assert [h.stage for h in happenings if h.kind == "stage_started"] == [0, 1, 2]


def test_what_another_process_changes_is_noticed_within_seconds(tmp_path: Path) -> None:
    with Server(tmp_path / "server") as server:
        engineer = Engineer.create(server, tmp_path)
        device = SimulatedDevice.enrol(server, "one")
        engineer.publish("1.0.0")
        device.poll()
        device.poll()
        other = SqlDatabase.open(f"sqlite:///{server.data / 'fleet.sqlite'}")
        with other.write() as tables:
            known = tables.devices.get("one")
            assert known is not None
            tables.devices.put(replace(known, token_sha256=digest_of("another")))
            tables.changes.record("one")
        other.close()
        until(lambda: device.ask("GET").status == 401)
        device.token = "another"
        device.poll()
        engineer.roll_out("1.0.0", **everybody())
        until(lambda: "deploymentBase" in device.poll())
