"""The rest of the device protocol: confirmations, declarations, history, gateways, proxies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from edgekit.errors import ConflictError
from tests.integration.server_fleet import (
    Answer,
    Engineer,
    Server,
    SimulatedDevice,
    everybody,
    feedback,
    until,
)

pytestmark = pytest.mark.integration

_NAMES = (f"device-{number}" for number in itertools.count())
_PROXY = 'behind_proxy = true\nproxy_authority = "Devices CA"\nroot_path = "/fleet"\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("ddi") / "server")
    server.init()
    (server.data / "server.toml").write_text(_PROXY)
    server.start(poll_interval=90)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def engineer(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Engineer:
    """Roll 1.0.0 out to those who are `asked`, and 1.0.0 of `plain` to those who are not."""
    engineer = Engineer.create(server, tmp_path_factory.mktemp("engineer"), "digits", "plain")
    policy = everybody(min_windows=1000)
    policy["gate"] = {"mode": "must_not_fail", "max_failed_devices": 1000}
    for model, more in (("digits", {"confirmation": True}), ("plain", {})):
        engineer.publish("1.0.0", model=model)
        rollout = engineer.roll_out(
            "1.0.0", model=model, selector=f"gets={model}", **policy, **more
        )
        until(partial(_is_open, server, rollout.id))
    return engineer


def _is_open(server: Server, rollout: str) -> bool:
    with server.client() as client:
        return len(client.rollout(rollout).happenings) > 1


def enrol(server: Server, gets: str) -> SimulatedDevice:
    return SimulatedDevice.enrol(server, next(_NAMES), labels={"gets": gets})


@pytest.fixture
def asked(server: Server, engineer: Engineer) -> SimulatedDevice:
    """A device that must confirm before it downloads."""
    return enrol(server, "digits")


@pytest.fixture
def offered(server: Server, engineer: Engineer) -> SimulatedDevice:
    """A device that is offered a release without being asked."""
    return enrol(server, "plain")


def waiting(device: SimulatedDevice) -> tuple[str, dict[str, Any]]:
    links = device.poll()
    assert "deploymentBase" not in links
    base = device.ask("GET", links["confirmationBase"]).json
    return f"/confirmationBase/{base['id']}", base


def test_nothing_is_downloaded_before_it_is_confirmed(asked: SimulatedDevice) -> None:
    path, base = waiting(asked)
    assert base["confirmation"]["chunks"][0]["name"] == "digits"
    assert asked.ask("GET", f"/deploymentBase/{base['id']}").status == 404
    assert asked.report(base["id"], feedback("proceeding", "none")).status == 404
    said = {"confirmation": "confirmed", "details": ["yes"], "extra": 1}
    assert asked.ask("POST", f"{path}/feedback", body=said).status == 200
    links = asked.poll()
    assert "?c=" in links["deploymentBase"]
    assert "confirmationBase" not in links
    assert asked.ask("GET", path).status == 404


def test_a_denied_offer_waits_and_a_confirmed_one_can_be_denied(asked: SimulatedDevice) -> None:
    path, _ = waiting(asked)
    for word in ("denied", "confirmed", "denied"):
        answer = asked.ask("POST", f"{path}/feedback", body={"confirmation": word})
        assert answer.status == 200
    assert waiting(asked)[0] == path
    assert asked.ask("POST", f"{path}/feedback", body={"confirmation": "maybe"}).status == 400
    strange = "/confirmationBase/9999/feedback"
    assert asked.ask("POST", strange, body={"confirmation": "denied"}).status == 404


def test_confirming_everything_in_advance(asked: SimulatedDevice) -> None:
    waiting(asked)
    state = asked.ask("GET", "/confirmationBase").json
    assert state["autoConfirm"] == {"active": False}
    assert set(state["_links"]) == {"activateAutoConfirm", "confirmationBase"}
    activate = state["_links"]["activateAutoConfirm"]["href"]
    assert asked.ask("POST", activate, body={"initiator": "ana", "remark": "r"}).status == 200
    assert asked.ask("POST", activate).status == 409
    assert "deploymentBase" in asked.poll()
    given = asked.ask("GET", "/confirmationBase").json
    assert given["autoConfirm"]["active"] is True
    assert given["autoConfirm"]["initiator"] == "ana"
    assert asked.ask("POST", given["_links"]["deactivateAutoConfirm"]["href"]).status == 200
    assert asked.ask("GET", "/confirmationBase").json["autoConfirm"] == {"active": False}


def test_a_person_may_confirm_for_a_device(asked: SimulatedDevice) -> None:
    waiting(asked)
    with asked.server.client() as client:
        client.confirm(asked.name)
        with pytest.raises(ConflictError):
            client.confirm(asked.name)
    assert "deploymentBase" in asked.poll()


def test_action_history_comes_newest_first_to_who_asks(offered: SimulatedDevice) -> None:
    href = offered.poll()["deploymentBase"]
    action = offered.ask("GET", href).json["id"]
    assert "actionHistory" not in offered.ask("GET", f"{href}&actionHistory=5").json
    for text in ("one", "two"):
        said = feedback("proceeding", "none")
        said["status"]["details"] = [text]
        offered.report(action, said)
    assert "actionHistory" not in offered.ask("GET", href).json
    history = offered.ask("GET", f"{href}&actionHistory=-1").json["actionHistory"]
    assert history == {"status": "RUNNING", "messages": ["two", "one"]}
    one = offered.ask("GET", f"{href}&actionHistory=1").json["actionHistory"]
    assert one["messages"] == ["two"]


def test_a_device_that_never_stops_talking_is_stopped_its_last_word_is_not(
    offered: SimulatedDevice,
) -> None:
    action = offered.ask("GET", offered.poll()["deploymentBase"]).json["id"]
    said = feedback("proceeding", "none")
    said["status"]["details"] = ["x"] * 51
    assert offered.report(action, said).status == 429
    said["status"]["details"] = ["x"] * 50
    assert offered.report(action, said).status == 200
    last = feedback("closed", "failure")
    last["status"]["details"] = ["x"] * 60
    assert offered.report(action, last).status == 200


def test_the_poll_links_what_is_installed(offered: SimulatedDevice) -> None:
    assert "installedBase" not in offered.poll()
    offered.turn()
    base = offered.ask("GET", offered.poll()["installedBase"]).json
    assert base["deployment"]["chunks"][0]["version"] == "1.0.0"


def test_a_foreign_device_declares_what_it_runs(server: Server, engineer: Engineer) -> None:
    with server.client() as client:
        added = client.add_device("declares", {"client": "onnxruntime"})
    device = SimulatedDevice(server, "declares", added.token)
    said = {"name": "plain", "version": "1.0.0"}
    assert device.ask("PUT", "/installedBase", body=said).status == 201
    assert device.ask("PUT", "/installedBase", body=said).status == 200
    assert device.ask("PUT", "/installedBase", body={**said, "version": "7"}).status == 404
    with server.client() as client:
        assert client.device("declares").committed == {"plain": "1.0.0"}
        assert [e.state for e in client.history("declares")] == ["reported"]


def poll_as(server: Server, name: str, **headers: str) -> Answer:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return server.ask("GET", f"/DEFAULT/controller/v1/{name}", headers=named)


def test_a_gateway_speaks_for_its_devices_only(server: Server, engineer: Engineer) -> None:
    idle_name = "behind"
    with server.client() as client:
        gateway = client.add_gateway("plc")
    own = SimulatedDevice.enrol(server, next(_NAMES))
    word = f"GatewayToken {gateway.token}"
    assert poll_as(server, idle_name, Authorization="GatewayToken wrong").status == 401
    assert poll_as(server, idle_name, Authorization=word).status == 200
    assert poll_as(server, idle_name, Authorization=f"TargetToken {gateway.token}").status == 401
    assert poll_as(server, own.name, Authorization=word).status == 401
    with server.client() as client:
        assert client.device(idle_name).state == "active"
        client.drop_gateway("plc")
    assert poll_as(server, idle_name, Authorization=word).status == 401


def test_a_proxy_names_the_device_and_links_are_as_it_is_seen(server: Server) -> None:
    """The tests' own address is a trusted proxy here."""
    identified = {"X_Controller_Id": "tls", "X_Authority": "devices ca"}
    seen = {"X_Forwarded_Host": "fleet.example", "X_Forwarded_Proto": "https"}
    assert poll_as(server, "tls", X_Controller_Id="tls").status == 401
    assert poll_as(server, "other", **identified).status == 401
    answer = poll_as(server, "tls", **identified, **seen)
    assert answer.status == 200
    href = answer.json["_links"]["configData"]["href"]
    assert href == "https://fleet.example/fleet/DEFAULT/controller/v1/tls/configData"
    moved = poll_as(server, "tls", **identified, **seen, X_Forwarded_Prefix="/ota")
    assert "https://fleet.example/ota/DEFAULT/" in moved.json["_links"]["configData"]["href"]
    assert server.ask("GET", "/fleet/api/v1/health").status == 200
