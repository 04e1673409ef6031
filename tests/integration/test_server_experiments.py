"""An A/B experiment on a real server with simulated devices: arms, readout, winner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.client.wire.experiments import NewExperiment
from edgekit.errors import ConflictError
from tests.integration.server_fleet import (
    Engineer,
    Server,
    SimulatedDevice,
    drive,
    everybody,
    until,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "server") as server:
        yield server


def test_arms_are_held_compared_and_the_winner_goes_to_everybody(
    server: Server, tmp_path: Path
) -> None:
    engineer = Engineer.create(server, tmp_path)
    devices = [SimulatedDevice.enrol(server, f"cam-{i}") for i in range(12)]
    engineer.publish("1.0.0")
    drive(server, devices, engineer.roll_out("1.0.0", **everybody()).id)
    for _ in range(3):
        for device in devices:
            device.turn()
    fast = engineer.publish("1.1.0").variants[0].digest
    for device in devices:
        device.latency_ms = {fast: 5.0}
    wanted = NewExperiment(model="digits", arms={"1.0.0": 50.0, "1.1.0": 50.0}, hold_s=1.0)
    with server.client() as client:
        started = client.start_experiment(wanted)
        with pytest.raises(ConflictError, match="may reach the same devices"):
            client.start_experiment(wanted)
        with pytest.raises(ConflictError, match="runs on such devices"):
            engineer.roll_out("1.1.0", **everybody())
        drawn = {arm.version: arm.devices for arm in started.arms}
        assert sum(drawn.values()) == 12
        assert min(drawn.values()) >= 3

        def held() -> bool:
            for device in devices:
                device.turn()
            view = client.experiment(started.id)
            there = all(arm.running == arm.devices for arm in view.arms)
            return there and all(e.effect is not None for e in view.effects[:1])

        until(held)
        for _ in range(2):
            for device in devices:
                device.turn()
        view = client.experiment(started.id)
        latency = view.effects[0]
        assert latency.effect is not None
        assert latency.high is not None
        assert latency.effect < -0.3
        assert latency.high < 0
        until(lambda: client.experiment(started.id).ready)
        ended = client.promote_winner(started.id, "1.1.0")
        assert (ended.phase, ended.winner) == ("promoted", "1.1.0")
        assert ended.rollout

        def everywhere() -> bool:
            for device in devices:
                device.turn()
            return all(device.running["digits"] == fast for device in devices)

        until(everywhere)
        with pytest.raises(ConflictError, match="promoted"):
            client.stop_experiment(started.id)
