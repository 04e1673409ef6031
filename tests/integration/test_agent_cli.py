"""The `edgekit-agent` command: bad input gets one line and its exit code."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.agent_fleet import Device, Fleet, quiet_end, wait_for
from tests.integration.agent_fleet_http import DEVICE, TOKEN

pytestmark = pytest.mark.integration


@pytest.fixture
def device(tmp_path: Path, fleet: Fleet) -> Iterator[Device]:
    with quiet_end(Device(tmp_path / "device", fleet)) as device:
        yield device


def enrol(device: Device, **changed: str) -> tuple[int, str]:
    file = device.folder.parent / "enrolment.json"
    file.write_text(json.dumps({**device.fleet.enrolment_file(), **changed}))
    done = device.command("enrol", "--file", str(file), "--id", DEVICE)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_enrolment_keeps_the_token_for_the_device_alone(device: Device) -> None:
    assert enrol(device) == (0, "")
    identity = device.folder / "identity.json"
    assert stat.S_IMODE(identity.stat().st_mode) == 0o600
    assert stat.S_IMODE(device.folder.stat().st_mode) == 0o700
    assert json.loads(identity.read_bytes())["token"] == TOKEN
    assert TOKEN not in device.command("status").stdout


def test_a_root_that_the_operator_did_not_name_is_refused_and_nothing_is_kept(
    device: Device,
) -> None:
    code, said = enrol(device, root_sha256="0" * 64)
    assert code == 15
    assert said.count("\n") == 1
    assert not (device.folder / "identity.json").exists()


def test_a_device_is_enrolled_once(device: Device) -> None:
    assert enrol(device)[0] == 0
    code, said = enrol(device)
    assert code == 22
    assert "enrolled already" in said


def test_a_server_that_is_not_there_is_named(device: Device) -> None:
    code, said = enrol(device, server="http://127.0.0.1:9")
    assert code == 20
    assert "http://127.0.0.1:9/api/v1/enrol" in said


def test_an_enrolment_file_that_is_none_is_named(device: Device, tmp_path: Path) -> None:
    file = tmp_path / "enrolment.json"
    file.write_text('{"server": 1}')
    done = device.command("enrol", "--file", str(file), "--id", DEVICE)
    assert done.returncode == 14
    assert str(file) in done.stderr


def test_a_device_that_is_not_enrolled_is_told_how(device: Device) -> None:
    for command in ("run", "status"):
        done = device.command(command)
        assert done.returncode == 2
        assert "edgekit-agent enrol" in done.stderr


def test_an_unknown_setting_is_refused(device: Device) -> None:
    enrol(device)
    device.configure("window = 3")
    done = device.command("run")
    assert done.returncode == 2
    assert "unknown key window" in done.stderr


def test_runtimes_that_do_not_work_here_are_refused(device: Device) -> None:
    enrol(device)
    device.configure('runtimes = ["abacus"]')
    done = device.command("run")
    assert done.returncode == 2
    assert "onnxruntime" in done.stderr


def test_a_folder_has_one_agent(device: Device) -> None:
    enrol(device)
    device.start()
    wait_for((device.folder / "status.json").exists)
    done = device.command("run")
    assert done.returncode == 22
    assert "another agent" in done.stderr
    assert device.stop() == 0


def test_status_tells_a_stopped_agent_from_a_running_one(device: Device, fleet: Fleet) -> None:
    enrol(device)
    assert device.status()["agent_pid"] == 0
    device.start()
    wait_for(lambda: device.status()["agent_pid"] == (device.process and device.process.pid))
    assert fleet.profiles == [] or "onnxruntime" in fleet.profiles[0]["runtimes"]
    assert device.stop() == 0
    assert device.status()["agent_pid"] == 0


def test_a_token_that_the_server_does_not_know_shows_in_the_status(device: Device) -> None:
    enrol(device)
    identity = device.folder / "identity.json"
    identity.write_text(identity.read_text().replace(TOKEN, "x" * 64))
    device.start()
    wait_for(lambda: "401" in device.live().get("contact_error", ""))
    assert "enrol the device again" in device.status()["contact_error"]
    assert device.stop() == 0
