"""One identity on two machines: a copied state folder, two real agents, a real server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.client.publishing import publish
from tests.integration.agent_fleet import ANOTHER_BOOT, CONFIG, Device, quiet_end
from tests.integration.agent_fleet_http import DEVICE
from tests.integration.agent_models import make_bundle
from tests.integration.server_fleet import Engineer, Server, now, until
from tests.integration.test_server_machines import EnrolledAt, samples

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "server") as server:
        yield server


@pytest.fixture
def device(server: Server, tmp_path: Path) -> Iterator[Device]:
    """Yield a device that runs a model and was shut down."""
    engineer = Engineer.create(server, tmp_path / "engineer")
    bundles = [make_bundle(tmp_path / "bundles", "1.0.0").path]
    enrolled: Any = EnrolledAt(server, server.token)
    with server.client() as client, quiet_end(Device(tmp_path / "device", enrolled)) as device:
        keys = engineer.keystore
        publish(client, model="digits", version="1.0.0", bundles=bundles, keystore=keys, now=now())
        device.configure(CONFIG + samples(tmp_path / "samples"))
        device.enrol()
        device.start()
        rollout = engineer.roll_out("1.0.0")
        until(lambda: client.rollout(rollout.id).phase == "finished")
        assert device.stop() == 0
        yield device


def copied(device: Device, folder: Path) -> Device:
    """Return the same device on another machine."""
    sockets = shutil.ignore_patterns("*.sock")
    shutil.copytree(device.folder, folder / "device", symlinks=True, ignore=sockets)
    return Device(folder / "device", device.fleet)


def test_a_copied_device_is_quarantined_with_an_alarm(
    server: Server, device: Device, tmp_path: Path
) -> None:
    boot = tmp_path / "boot"
    boot.write_text("another-machine")
    with server.client() as client, quiet_end(copied(device, tmp_path / "twin")) as twin:
        twin.start(ANOTHER_BOOT.format(file=str(boot)))
        until(lambda: twin.model().get("serving"))
        assert client.device(DEVICE).state == "active"  # so far it looks like a restart
        device.start()
        until(lambda: client.device(DEVICE).state == "quarantined")
        assert "two machines" in client.device(DEVICE).alarm
        assert client.diagnose(DEVICE).findings[0].startswith("it is quarantined: two machines")
        told = [event for event in client.events() if event.kind == "device_cloned"]
        assert [event.device for event in told] == [DEVICE]
        for machine in (device, twin):  # and both go on to serve
            until(lambda machine=machine: machine.model().get("serving"))  # type: ignore[misc]
            assert machine.stop() == 0
