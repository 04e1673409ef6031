"""Who may speak, who is offered something, and what is known of one device."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edgekit import codec
from edgekit.client.wire.admission import NewEnrolmentToken
from edgekit.errors import ConflictError, RefusedError, UsageError
from edgekit.protocol import TelemetryBatch
from tests.integration.server_fleet import (
    ONNX,
    Answer,
    Engineer,
    Server,
    SimulatedDevice,
    everybody,
    until,
)

pytestmark = pytest.mark.integration

_NAMES = (f"device-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("admission") / "server") as server:
        yield server


@pytest.fixture(scope="module")
def engineer(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Engineer:
    engineer = Engineer.create(server, tmp_path_factory.mktemp("engineer"))
    for version in ("1.0.0", "2.0.0"):
        engineer.publish(version)
    policy = everybody(min_windows=1000)
    policy["gate"] = {"mode": "must_not_fail", "max_failed_devices": 1000}
    rollout = engineer.roll_out("1.0.0", selector="gets in (it,more)", **policy)
    with server.client() as client:
        until(lambda: len(client.rollout(rollout.id).happenings) > 1)
    return engineer


@pytest.fixture
def idle(server: Server, engineer: Engineer) -> SimulatedDevice:
    return SimulatedDevice.enrol(server, next(_NAMES))


@pytest.fixture
def offered(server: Server, engineer: Engineer) -> SimulatedDevice:
    return SimulatedDevice.enrol(server, next(_NAMES), labels={"gets": "it"})


def poll_with(device: SimulatedDevice, token: str) -> int:
    headers = {"Authorization": f"TargetToken {token}"}
    return device.server.ask("GET", device.path, headers=headers).status


def enrol(server: Server, token: str, name: str) -> Answer:
    request = {"token": token, "device_id": name, "profile": ONNX}
    return server.ask("POST", "/api/v1/enrol", body=codec.encode(request))


def test_the_old_token_is_valid_until_the_new_one_is_used(idle: SimulatedDevice) -> None:
    with idle.server.client() as client:
        made = client.rotate_token(idle.name)
    assert poll_with(idle, idle.token) == 200
    assert poll_with(idle, idle.token) == 200
    assert poll_with(idle, made.token) == 200
    assert poll_with(idle, idle.token) == 401
    assert poll_with(idle, made.token) == 200


def test_a_device_rotates_by_itself(idle: SimulatedDevice) -> None:
    token = idle.ask("POST", "/token").json["token"]
    assert poll_with(idle, token) == 200
    assert poll_with(idle, idle.token) == 401


def test_a_revoked_device_is_nobody_and_keeps_its_history(offered: SimulatedDevice) -> None:
    offered.turn()
    assert poll_with(offered, offered.token) == 200
    with offered.server.client() as client:
        view = client.revoke(offered.name, "stolen")
        assert (view.state, view.alarm) == ("revoked", "stolen")
        assert poll_with(offered, offered.token) == 401
        assert offered.ask("POST", "/telemetry", body=b"{}").status == 401
        assert [e.state for e in client.history(offered.name)] == ["committed"]
        with pytest.raises(ConflictError):
            client.rotate_token(offered.name)


def test_a_quarantined_device_reports_and_is_offered_nothing(offered: SimulatedDevice) -> None:
    with offered.server.client() as client:
        client.quarantine(offered.name, "smells")
        assert "deploymentBase" not in offered.poll()
        assert not client.diagnose(offered.name).healthy
        assert client.diagnose(offered.name).findings[0] == "it is quarantined: smells"
        client.accept(offered.name)
        assert "deploymentBase" in offered.poll()


def test_an_offer_that_was_not_begun_is_taken_back_in_quarantine(offered: SimulatedDevice) -> None:
    assert "deploymentBase" in offered.poll()
    with offered.server.client() as client:
        client.quarantine(offered.name)
    assert "deploymentBase" not in offered.poll()


def test_two_machines_with_one_identity_are_quarantined(idle: SimulatedDevice) -> None:
    def report(boot: str) -> None:
        batch = TelemetryBatch(spool_id="s", boot_id=boot, sent_mono_s=1.0, windows=())
        assert idle.ask("POST", "/telemetry", body=codec.encode(batch)).status == 200

    with idle.server.client() as client:
        for boot in ("one", "one", "two", "three", "three"):
            report(boot)
        assert client.device(idle.name).state == "active"  # it only restarted
        report("two")
        view = client.device(idle.name)
        assert view.state == "quarantined"
        assert "two machines" in view.alarm
        client.accept(idle.name)
        report("two")
        assert client.device(idle.name).state == "active"


def test_devices_wait_in_a_queue_until_they_are_accepted(
    server: Server, engineer: Engineer
) -> None:
    with server.client() as client:
        wanted = NewEnrolmentToken(uses=2, accept=False, labels={"gets": "it"})
        made = client.create_enrolment_token(wanted)
        names = [next(_NAMES), next(_NAMES)]
        devices = [
            SimulatedDevice(server, name, enrol(server, made.token, name).json["device_token"])
            for name in names
        ]
        assert [client.device(name).state for name in names] == ["pending", "pending"]
        assert all("deploymentBase" not in device.poll() for device in devices)
        client.accept(names[0])
        assert "deploymentBase" in devices[0].poll()
        client.reject(names[1])
        assert poll_with(devices[1], devices[1].token) == 401


def test_a_token_may_be_for_named_devices_only(server: Server, engineer: Engineer) -> None:
    with server.client() as client:
        made = client.create_enrolment_token(NewEnrolmentToken(uses=5, device_ids=("mine",)))
        assert enrol(server, made.token, "theirs").status == 401
        assert enrol(server, made.token, "mine").status == 200
        with pytest.raises(UsageError):
            client.create_enrolment_token(NewEnrolmentToken(device_ids=("not a name",)))


def test_new_hardware_takes_the_place_of_the_old_and_history_stays(
    offered: SimulatedDevice,
) -> None:
    offered.turn()
    with offered.server.client() as client:
        anybody = client.create_enrolment_token(NewEnrolmentToken())
        assert enrol(offered.server, anybody.token, offered.name).status == 409
        named = client.create_enrolment_token(NewEnrolmentToken(device_ids=(offered.name,)))
        answer = enrol(offered.server, named.token, offered.name)
        assert answer.status == 200
        assert poll_with(offered, offered.token) == 401
        fresh = replace_token(offered, answer.json["device_token"])
        assert "deploymentBase" in fresh.poll()  # it runs nothing yet
        assert client.device(offered.name).labels == {"gets": "it"}
        assert [e.state for e in client.history(offered.name)] == ["committed", "offered"]


def replace_token(device: SimulatedDevice, token: str) -> SimulatedDevice:
    return replace(device, token=token, running={})


def test_one_release_on_one_device(idle: SimulatedDevice) -> None:
    with idle.server.client() as client:
        with pytest.raises(RefusedError):
            client.pin(idle.name, "digits", "7.0.0")
        assert client.pin(idle.name, "digits", "2.0.0").pins == {"digits": "2.0.0"}
        idle.turn()
        idle.turn()
        assert client.device(idle.name).committed == {"digits": "2.0.0"}
        until(lambda: client.diagnose(idle.name).healthy)  # its polls are stored in a second
        assert client.unpin(idle.name, "digits").pins == {}


def test_what_ran_at_a_time_with_its_lineage(offered: SimulatedDevice) -> None:
    before = datetime.now(UTC).isoformat()  # noqa: TID251 (a test is its own composition root)
    offered.turn()
    with offered.server.client() as client:
        between = datetime.now(UTC).isoformat()  # noqa: TID251 (the same)
        client.pin(offered.name, "digits", "2.0.0")
        offered.turn()
        assert client.ran(offered.name, before) == []
        (then,) = client.ran(offered.name, between)
        (now,) = client.ran(offered.name, "2100-01-01T00:00:00Z")
        assert (then.version, now.version) == ("1.0.0", "2.0.0")
        assert then.lineage is not None
        assert then.lineage.source == "test"
        with pytest.raises(UsageError):
            client.ran(offered.name, "yesterday")


def test_a_freeze_stops_every_offer_at_once(offered: SimulatedDevice, tmp_path: Path) -> None:
    with offered.server.client() as client:
        assert client.frozen().frozen is False
        assert client.freeze("fire").by == "admin"
        try:
            assert "deploymentBase" not in offered.poll()
            told = client.diagnose(offered.name).findings
            assert "the fleet is frozen: nothing is offered" in told
        finally:
            assert client.unfreeze().frozen is False
        assert "deploymentBase" in offered.poll()
