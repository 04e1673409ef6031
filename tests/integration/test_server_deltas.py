"""Deltas of a real server: made in the background, offered to devices that have their base."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.delta import apply_delta
from tests.integration.server_fleet import Engineer, Server, SimulatedDevice, until

pytestmark = pytest.mark.integration


@pytest.fixture
def engineer(tmp_path: Path) -> Iterator[Engineer]:
    server = Server(tmp_path / "server")
    server.init()
    server.start()
    yield Engineer.create(server, tmp_path / "engineer")
    server.stop()


def offered(device: SimulatedDevice) -> Any:
    href = until(lambda: device.poll().get("deploymentBase"))
    return device.ask("GET", href).json["deployment"]["chunks"][0]["artifacts"][0]


def test_a_device_is_offered_a_delta_from_what_it_runs(engineer: Engineer, tmp_path: Path) -> None:
    device = SimulatedDevice.enrol(engineer.server, "one")
    first = engineer.publish("1.0.0").variants[0]
    rollout = engineer.roll_out("1.0.0")

    def finished() -> bool:
        device.turn()
        with engineer.server.client() as client:
            return client.rollout(rollout.id).phase == "finished"

    until(finished)
    second = engineer.publish("1.1.0").variants[0]
    deltas = engineer.server.data / "blobs" / "deltas"
    until((deltas / f"{first.digest}-{second.digest}").is_file)
    engineer.roll_out("1.1.0")
    artifact = offered(device)
    href = artifact["_links"][f"edgekit:delta:{first.digest}"]["href"]
    delta = device.ask("GET", href).body
    assert len(delta) < 0.6 * artifact["size"]
    old = engineer.folder / "bundles" / "digits-1.0.0-onnx-fp32.bundle"
    new = apply_delta(old.read_bytes(), delta, size=artifact["size"])
    assert hashlib.sha256(new).hexdigest() == second.digest
    assert device.ask("GET", href.replace(first.digest, "0" * 64)).status == 404
    assert device.ask("GET", href.replace(first.digest, "..%2f" * 9)).status == 404
    bare = SimulatedDevice.enrol(engineer.server, "two")
    assert not [name for name in offered(bare)["_links"] if "delta" in name]
