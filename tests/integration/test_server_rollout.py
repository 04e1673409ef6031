"""Whole rollouts on a real server, driven by simulated devices over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgekit.client.wire.devices import HistoryEntry
from tests.integration.server_fleet import (
    LITERT,
    Engineer,
    Server,
    SimulatedDevice,
    drive,
    everybody,
    quick,
    until,
)

pytestmark = pytest.mark.integration

BOTH = ("onnx-fp32", "tflite-int8")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "server") as server:
        yield server
        assert server.stop() in {0, -15}, server.log()


@pytest.fixture
def engineer(server: Server, tmp_path: Path) -> Engineer:
    return Engineer.create(server, tmp_path)


def enrol_six(server: Server) -> list[SimulatedDevice]:
    onnx = [SimulatedDevice.enrol(server, f"onnx-{i}") for i in range(3)]
    return onnx + [SimulatedDevice.enrol(server, f"lite-{i}", profile=LITERT) for i in range(3)]


def test_each_device_gets_the_variant_that_fits(server: Server, engineer: Engineer) -> None:
    devices = enrol_six(server)
    release = engineer.publish("1.0.0", variants=BOTH)
    rollout = engineer.roll_out("1.0.0")

    assert drive(server, devices, rollout.id).phase == "finished"

    digests = {v.variant: v.digest for v in release.variants}
    with server.client() as client:
        views = list(client.devices())
    assert {v.variants["digits"] for v in views if v.id.startswith("onnx")} == {"onnx-fp32"}
    assert {v.running["digits"] for v in views if v.id.startswith("lite")} == {
        digests["tflite-int8"]
    }
    assert all(view.committed == {"digits": "1.0.0"} for view in views)


def test_a_slow_release_is_taken_back_from_the_canaries_and_nobody_else_ever_ran_it(
    server: Server, engineer: Engineer
) -> None:
    devices = enrol_six(server)
    good = engineer.publish("1.0.0", variants=BOTH)
    drive(server, devices, engineer.roll_out("1.0.0").id)
    for _ in range(4):
        for device in devices:
            device.turn()
    slow = engineer.publish("1.1.0", variants=BOTH)
    bad = {v.digest for v in slow.variants}
    for device in devices:
        device.latency_ms = dict.fromkeys(bad, 80.0)

    rollout = engineer.roll_out(
        "1.1.0",
        stages=[quick(devices_per_variant=1), quick(percent=100)],
        gate={"mode": "must_not_fail"},
    )
    ended = drive(server, devices, rollout.id)
    assert ended.phase == "rolled_back"
    assert ended.stage == 0

    def all_back() -> bool:
        for device in devices:
            device.turn()
        return all(d.running["digits"] in {v.digest for v in good.variants} for d in devices)

    until(all_back)
    exposed = [d.name for d in devices if bad & set(d.ran)]
    assert 1 <= len(exposed) <= len(BOTH)
    with server.client() as client:
        kinds = [entry.kind for entry in client.history(exposed[0])]
        states = [entry.state for entry in client.history(exposed[0])]
    assert kinds == ["update", "update", "rollback"]
    assert states == ["committed"] * 3


def test_a_rejected_release_is_not_offered_again_without_a_retry(
    server: Server, engineer: Engineer
) -> None:
    device = SimulatedDevice.enrol(server, "one")
    release = engineer.publish("1.0.0")
    (variant,) = release.variants
    device.outcomes[variant.digest] = "rejected"
    rollout = engineer.roll_out("1.0.0", **everybody(), on_fail="pause")
    _turn_until(device, lambda: bool(_history(server, "one")))
    with server.client() as client:
        _turn_until(device, lambda: client.rollout(rollout.id).phase == "paused")

    with server.client() as client:
        client.resume(rollout.id)
    assert "deploymentBase" not in device.poll()
    device.outcomes.clear()
    with server.client() as client:
        client.retry("one")

        def runs() -> bool:
            if client.rollout(rollout.id).phase == "paused":  # judged again before the retry
                client.resume(rollout.id)
            return bool(device.running)

        _turn_until(device, runs)
    assert [entry.state for entry in _history(server, "one")] == ["rejected", "committed"]


def _turn_until(device: SimulatedDevice, condition: Callable[[], bool]) -> None:
    def turned() -> bool:
        device.turn()
        return condition()

    until(turned)


def _history(server: Server, device: str) -> list[HistoryEntry]:
    with server.client() as client:
        return client.history(device)
