"""If-Match on changes of devices, releases and rollouts. Real server, real sockets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit import codec
from edgekit.errors import ConflictError
from fleet_server.services.errors import ChangedError
from fleet_server.services.precondition import PARAMETERS, Precondition, state_tag
from fleet_server.services.records.devices import DeviceRecord
from fleet_server.services.records.parameters import ParametersRecord
from fleet_server.store.database import SqlDatabase
from tests.integration.server_fleet import Answer, Engineer, Server, everybody, now

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("preconditions") / "data") as server:
        engineer = Engineer.create(server, tmp_path_factory.mktemp("engineer"), "digits", "arms")
        engineer.publish("1.0.0")
        engineer.publish("2.0.0")
        for version in ("1.0.0", "2.0.0"):
            engineer.publish(version, model="arms")
        yield server


def call(server: Server, method: str, path: str, body: object = None, *, match: str = "") -> Answer:
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    if match:
        headers["If-Match"] = match
    data = None if body is None else codec.encode(body)
    return server.ask(method, f"/api/v1/{path}", body=data, headers=headers)


def tag_of(server: Server, path: str) -> str:
    return call(server, "GET", path).headers["etag"]


def test_a_change_of_what_somebody_else_changed_is_412_with_the_present_tag(
    server: Server,
) -> None:
    with server.client() as client:
        client.add_device("twice", {})
    read = tag_of(server, "devices/twice")
    assert call(server, "PUT", "devices/twice/labels", {"a": "1"}, match=read).status == 200
    late = call(server, "PUT", "devices/twice/labels", {"a": "2"}, match=read)
    assert late.status == 412
    assert late.headers["content-type"] == "application/problem+json"
    assert call(server, "GET", "devices/twice").json["labels"] == {"a": "1"}
    present = late.headers["etag"]
    assert tag_of(server, "devices/twice").startswith(present.rstrip('"'))
    assert call(server, "POST", "devices/twice/quarantine", {}, match=read).status == 412
    pin, version = "devices/twice/pins/digits", {"version": "1.0.0"}
    assert call(server, "PUT", pin, version, match=present).status == 200
    assert call(server, "DELETE", pin, match=present).status == 412
    assert call(server, "PUT", "devices/twice/labels", {}, match="*").status == 200
    assert call(server, "PUT", "devices/twice/labels", {}, match=f"W/{read}").status == 412


def test_what_a_device_reports_spoils_no_tag(server: Server) -> None:
    with server.client() as client:
        token = client.add_device("polls", {}).token
    read = tag_of(server, "devices/polls")
    path = "/DEFAULT/controller/v1/polls/configData"
    body = codec.encode({"mode": "merge", "data": {"os": "linux"}})
    sent = {"Authorization": f"TargetToken {token}", "Content-Type": "application/json"}
    assert server.ask("PUT", path, body=body, headers=sent).status == 200
    assert tag_of(server, "devices/polls") != read
    assert call(server, "PUT", "devices/polls/labels", {"a": "1"}, match=read).status == 200


def test_releases_and_rollouts_hear_it_too(server: Server) -> None:
    release = tag_of(server, "releases/digits/2.0.0")
    wanted = {"model": "digits", "version": "1.0.0", "policy": everybody()}
    made = call(server, "POST", "rollouts", wanted).json
    rollout = f"rollouts/{made['id']}"
    pause = f"{rollout}/pause"
    assert call(server, "POST", pause, match='"0123"').status == 412
    assert call(server, "POST", pause).status == 200  # the scheduler leaves it alone from now on
    read = tag_of(server, rollout)
    assert call(server, "POST", f"{rollout}/resume", match=read).status == 200
    assert call(server, "POST", f"{rollout}/abort", match=read).status == 412
    assert call(server, "POST", pause).status == 200
    assert call(server, "POST", f"{rollout}/abort", match=tag_of(server, rollout)).status == 200
    withdraw = "releases/digits/2.0.0/withdraw"
    assert call(server, "POST", withdraw, match='"0123"').status == 412
    assert call(server, "POST", withdraw, match=release).status == 200
    assert call(server, "POST", withdraw, match=release).status == 412


def test_accounts_experiments_and_the_freeze_hear_it_too(server: Server) -> None:
    call(server, "POST", "accounts", {"name": "anna", "role": "viewer"})
    arms = {"model": "arms", "arms": {"1.0.0": 50, "2.0.0": 50}, "selector": "for=ab"}
    with server.client() as client:
        client.add_device("ab", {"for": "ab"})
    made = call(server, "POST", "experiments", arms)
    assert made.status == 200, made
    experiment = made.json["id"]
    for path, method, below, body in (
        ("accounts/anna", "PATCH", "", {"role": "operator"}),
        (f"experiments/{experiment}", "POST", "/stop", None),
        ("freeze", "PUT", "", {"frozen": True, "reason": "a test"}),
    ):
        read = tag_of(server, path)
        assert call(server, method, path + below, body, match='"0123"').status == 412, path
        assert call(server, method, path + below, body, match=read).status == 200, path
        late = call(server, method, path + below, body, match=read)
        assert late.status == 412, path
        assert tag_of(server, path).startswith(late.headers["etag"].rstrip('"')), path
    assert call(server, "PUT", "freeze", {"frozen": False}).status == 200


def test_parameters_hear_it_by_their_last_version(tmp_path: Path) -> None:
    database = SqlDatabase.open(f"sqlite:///{tmp_path / 'fleet.sqlite'}")
    database.migrate()
    device = DeviceRecord(id="d", token_sha256="0" * 64, enrolled_by="x", enrolled_at=now())
    first = ParametersRecord(
        device_id="d", model="digits", version=1, origin=1, values={}, by="anna", at=now()
    )
    unset, one = (state_tag(PARAMETERS, view) for view in ({}, {"version": 1}))

    def check(tag: str) -> None:
        wanted = Precondition(kind=PARAMETERS, names=("d", "digits"), tags=frozenset({tag}))
        with database.read() as tables:
            wanted.check(tables)

    with database.write() as tables:
        tables.devices.put(device)
    check(unset)
    with database.write() as tables:
        tables.parameters.add(first)
    check(one)
    with pytest.raises(ChangedError) as caught:
        check(unset)
    assert caught.value.tag == one
    database.close()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("devices", {"id": "kept", "labels": {}}),
        ("gateways", {"name": "kept"}),
        ("webhooks", {"url": "https://hooks.example/kept"}),
    ],
)
def test_an_answer_with_a_secret_is_not_kept_for_repeats(
    server: Server, path: str, body: object
) -> None:
    headers = {"Authorization": f"Bearer {server.token}", "Idempotency-Key": f"key-{path}"}
    headers["Content-Type"] = "application/json"
    first, again = (
        server.ask("POST", f"/api/v1/{path}", body=codec.encode(body), headers=headers)
        for _ in range(2)
    )
    assert first.status == 200, first
    secret = first.json.get("token") or first.json["secret"]
    assert again.status == 409
    database = b"".join(file.read_bytes() for file in server.data.glob("fleet.sqlite*"))
    assert secret.encode() not in database or path == "webhooks"


def test_of_many_who_read_the_same_one_wins(server: Server) -> None:
    with server.client() as client:
        client.add_device("raced", {})
        _, tag = client.tagged_device("raced")
    outcomes: list[str] = []

    def change(label: str) -> None:
        with server.client() as client:
            try:
                client.set_labels("raced", {"by": label}, if_match=tag)
                outcomes.append(label)
            except ConflictError:
                outcomes.append("late")

    threads = [threading.Thread(target=change, args=(f"p{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winner = [outcome for outcome in outcomes if outcome != "late"]
    assert len(outcomes) == 8
    assert len(winner) == 1
    assert call(server, "GET", "devices/raced").json["labels"] == {"by": winner[0]}


def test_the_openapi_names_it_where_it_is_heard(server: Server) -> None:
    paths = server.ask("GET", "/api/v1/openapi.json").json["paths"]
    labels = paths["/api/v1/devices/{device_id}/labels"]["put"]
    assert "If-Match" in {parameter["name"] for parameter in labels["parameters"]}
    assert "412" in labels["responses"]
    assert "412" in paths["/api/v1/freeze"]["put"]["responses"]
    assert "412" not in paths["/api/v1/rollouts"]["post"]["responses"]


def test_an_unknown_thing_is_404_whatever_is_expected(server: Server) -> None:
    assert call(server, "PUT", "devices/nobody/labels", {}, match='"x"').status == 404
