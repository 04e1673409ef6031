"""If-Match on changes of devices, releases and rollouts. Real server, real sockets."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from edgekit import codec
from edgekit.errors import ConflictError
from tests.integration.server_fleet import Answer, Engineer, Server, everybody

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("preconditions") / "data") as server:
        engineer = Engineer.create(server, tmp_path_factory.mktemp("engineer"))
        engineer.publish("1.0.0")
        engineer.publish("2.0.0")
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
    now = late.headers["etag"]
    assert tag_of(server, "devices/twice").startswith(now.rstrip('"'))
    assert call(server, "POST", "devices/twice/quarantine", {}, match=read).status == 412
    pin, version = "devices/twice/pins/digits", {"version": "1.0.0"}
    assert call(server, "PUT", pin, version, match=now).status == 200
    assert call(server, "DELETE", pin, match=now).status == 412
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
    read = tag_of(server, rollout)
    assert call(server, "POST", f"{rollout}/pause", match=read).status == 200
    assert call(server, "POST", f"{rollout}/abort", match=read).status == 412
    assert call(server, "GET", rollout).json["phase"] == "paused"
    assert call(server, "POST", f"{rollout}/abort", match=tag_of(server, rollout)).status == 200
    withdraw = "releases/digits/2.0.0/withdraw"
    assert call(server, "POST", withdraw, match='"0123"').status == 412
    assert call(server, "POST", withdraw, match=release).status == 200
    assert call(server, "POST", withdraw, match=release).status == 412


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
    assert "412" not in paths["/api/v1/freeze"]["put"]["responses"]


def test_an_unknown_thing_is_404_whatever_is_expected(server: Server) -> None:
    assert call(server, "PUT", "devices/nobody/labels", {}, match='"x"').status == 404
