"""Who may do what: roles, tokens with a life, the audit log, repeats, limits. Real server."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from edgekit import codec
from edgekit.cli.app import run
from tests.integration.server_fleet import Answer, Engineer, Server, everybody

pytestmark = pytest.mark.integration

PASSWORD = "a password of some length"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("people") / "data") as server:
        Engineer.create(server, tmp_path_factory.mktemp("engineer")).publish("1.0.0")
        for role in ("viewer", "operator", "publisher"):
            assert call(server, "POST", "accounts", {"name": role, "role": role}).status == 200
        yield server


def call(
    server: Server, method: str, path: str, body: Any = None, *, token: str = "", **headers: str
) -> Answer:
    sent = {"Authorization": f"Bearer {token or server.token}", **headers}
    if body is not None:
        sent["Content-Type"] = "application/json"
    data = None if body is None else codec.encode(body)
    return server.ask(method, f"/api/v1/{path}", body=data, headers=sent)


def token_of(server: Server, account: str, *, role: str = "", life_s: float = 3600.0) -> Any:
    wanted = {"account": account, "role": role or account, "life_s": life_s}
    answer = call(server, "POST", "tokens", wanted)
    assert answer.status == 200, answer
    return answer.json


@pytest.mark.parametrize(
    ("method", "path", "body", "allowed"),
    [
        ("GET", "devices", None, {"viewer", "operator", "publisher"}),
        ("GET", "releases", None, {"viewer", "operator", "publisher"}),
        ("POST", "enrolment-tokens", {}, {"operator"}),
        ("PUT", "devices/d1/labels", {"a": "b"}, {"operator"}),
        ("POST", "rollouts/none/abort", None, {"operator"}),
        ("POST", "releases/digits/9/withdraw", None, {"publisher"}),
        ("PUT", "trust/root", {"metadata": "x"}, set()),
        ("POST", "accounts", {"name": "x", "role": "admin"}, set()),
        ("POST", "tokens", {"account": "admin", "role": "admin"}, set()),
        ("GET", "tokens", None, set()),
        ("GET", "audit", None, set()),
        ("DELETE", "nothing/known", None, set()),
    ],
)
def test_a_role_may_do_what_its_row_says_and_nothing_else(
    server: Server, method: str, path: str, body: Any, allowed: set[str]
) -> None:
    for role in ("viewer", "operator", "publisher"):
        answer = call(server, method, path, body, token=token_of(server, role)["token"])
        refused = (
            answer.status in {403, 404, 405} if path == "nothing/known" else (answer.status == 403)
        )
        assert refused == (role not in allowed), (role, answer)


def test_a_token_can_do_no_more_than_its_account(server: Server) -> None:
    wanted = {"account": "viewer", "role": "operator"}
    assert call(server, "POST", "tokens", wanted).status == 403
    lesser = token_of(server, "operator", role="viewer")["token"]
    assert call(server, "POST", "enrolment-tokens", {}, token=lesser).status == 403


def test_a_token_ends_when_revoked_and_when_its_life_is_over(server: Server) -> None:
    made = token_of(server, "viewer")
    assert call(server, "GET", "devices", token=made["token"]).status == 200
    assert call(server, "DELETE", f"tokens/{made['view']['id']}").status == 200
    assert call(server, "GET", "devices", token=made["token"]).status == 401
    brief = token_of(server, "viewer", life_s=0.001)
    assert call(server, "GET", "devices", token=brief["token"]).status == 401
    for life_s in (0, -1, 1e30):
        wanted = {"account": "viewer", "role": "viewer", "life_s": life_s}
        assert call(server, "POST", "tokens", wanted).status == 422


def test_who_guesses_passwords_is_told_to_wait_also_with_the_right_one(server: Server) -> None:
    wanted = {"name": "guessed", "role": "viewer", "password": PASSWORD}
    assert call(server, "POST", "accounts", wanted).status == 200
    body = {"name": "guessed", "password": PASSWORD + "x"}
    answers = [call(server, "POST", "session", body) for _ in range(8)]
    refused = next(answer for answer in answers if answer.status != 401)
    assert [answer.status for answer in answers[:5]] == [401] * 5
    assert refused.status == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert 1 <= int(refused.headers["retry-after"]) <= 900
    assert PASSWORD not in refused.body.decode()
    lines = [
        line
        for line in call(server, "GET", "audit?limit=1000").json
        if line["account"] == "guessed" and line["action"] == "POST /api/v1/session"
    ]
    assert [line["status"] for line in lines if line["status"]][:5] == [401] * 5
    assert {line["address"] for line in lines} == {"127.0.0.1"}


def test_a_disabled_account_is_out_and_the_last_admin_stays(server: Server) -> None:
    call(server, "POST", "accounts", {"name": "gone", "role": "viewer"})
    token = token_of(server, "gone", role="viewer")["token"]
    assert call(server, "PATCH", "accounts/gone", {"disabled": True}).status == 200
    assert call(server, "GET", "devices", token=token).status == 401
    assert call(server, "PATCH", "accounts/admin", {"role": "viewer"}).status == 409
    assert call(server, "GET", "tokens").status == 200


def test_a_password_gives_a_token_and_is_stored_by_argon2_only(server: Server) -> None:
    wanted = {"name": "ada", "role": "operator", "password": PASSWORD}
    assert call(server, "POST", "accounts", wanted).status == 200
    answer = call(server, "POST", "session", {"name": "ada", "password": PASSWORD})
    assert call(server, "POST", "enrolment-tokens", {}, token=answer.json["token"]).status == 200
    for name, password in (("ada", PASSWORD + "x"), ("nobody", PASSWORD), ("viewer", "")):
        refused = call(server, "POST", "session", {"name": name, "password": password})
        assert (refused.status, PASSWORD in refused.body.decode()) == (401, False)
    with sqlite3.connect(server.data / "fleet.sqlite") as database:
        (stored,) = database.execute("SELECT password FROM accounts WHERE name = 'ada'").fetchone()
    database.close()
    assert stored.startswith("$argon2id$")
    assert PASSWORD not in server.log()


def test_what_was_asked_is_in_the_audit_log_before_and_after(server: Server) -> None:
    token = token_of(server, "viewer")
    refused = call(server, "POST", "rollouts/none/abort", token=token["token"])
    assert refused.status == 403
    lines: list[Any] = []
    while page := call(
        server, "GET", f"audit?limit=7&after={lines[-1]['id'] if lines else 0}"
    ).json:
        lines += page
    mine = [line for line in lines if line["token"] == token["view"]["id"]]
    assert [line["status"] for line in mine] == [None, 403]
    assert {line["request"] for line in mine} == {refused.headers["x-request-id"]}
    assert {(line["account"], line["address"], line["action"]) for line in mine} == {
        ("viewer", "127.0.0.1", "POST /api/v1/rollouts/none/abort")
    }


@pytest.mark.parametrize("change", ["UPDATE audit SET account = 'x'", "DELETE FROM audit"])
def test_the_audit_log_only_grows(server: Server, change: str) -> None:
    database = sqlite3.connect(server.data / "fleet.sqlite")
    with pytest.raises(sqlite3.IntegrityError, match="only grows"):
        database.execute(change)
    database.close()


def test_a_repeat_with_the_same_key_is_done_once(server: Server) -> None:
    wanted = {"model": "digits", "version": "1.0.0", "policy": everybody()}
    key = {"Idempotency-Key": "k1"}
    first = call(server, "POST", "rollouts", wanted, **key)
    again = call(server, "POST", "rollouts", wanted, **key)
    assert (first.status, again.status) == (200, 200)
    assert (first.body, again.headers.get("idempotent-replay")) == (again.body, "true")
    other = call(server, "POST", "rollouts", {**wanted, "version": "2"}, **key)
    assert other.status == 422
    theirs = call(
        server, "POST", "rollouts", wanted, token=token_of(server, "operator")["token"], **key
    )
    assert theirs.status == 409  # another caller's key: a second rollout of the model
    assert call(server, "POST", f"rollouts/{first.json['id']}/abort").status == 200


def test_a_kept_answer_holds_no_secret(server: Server) -> None:
    key = {"Idempotency-Key": "k2"}
    made = call(server, "POST", "enrolment-tokens", {}, **key)
    again = call(server, "POST", "enrolment-tokens", {}, **key)
    assert (made.status, again.status) == (200, 409)
    assert made.json["token"] not in again.body.decode()


def test_an_answer_that_did_not_change_is_not_sent_again(server: Server) -> None:
    first = call(server, "GET", "releases")
    again = call(server, "GET", "releases", **{"If-None-Match": first.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


def test_every_answer_says_how_to_treat_it(server: Server) -> None:
    for path in ("health", "devices", "nothing"):
        headers = call(server, "GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["x-request-id"]


def test_a_body_without_end_is_cut_off(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=90) as link:
        head = (
            f"POST /api/v1/rollouts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\n"
        )
        link.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b"[" * 0x100000 + b"\r\n"
        answer = b""
        try:
            for _ in range(40):
                link.sendall(chunk)
            answer = link.recv(65536)
        except OSError:  # the server closed while it was still being sent to
            answer = answer or b"HTTP/1.1 413"
    assert b" 413" in answer.split(b"\r\n")[0]
    assert call(server, "GET", "health").status == 200


@pytest.mark.parametrize(
    "body",
    [b"[" * 1_000_000, b"[" + b"1," * 1_000_000 + b"1]", b'{"uses": NaN}', b'{"a":"\\ud800"}'],
)
def test_a_strange_body_is_the_callers_mistake(server: Server, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    for path in ("rollouts", "enrolment-tokens", "accounts", "session"):
        answer = server.ask("POST", f"/api/v1/{path}", body=body, headers=headers)
        assert 400 <= answer.status < 500 or (path, answer.status) == ("enrolment-tokens", 200)
        assert b"1,1,1" not in answer.body


def test_metrics_need_a_token_and_name_the_routes(server: Server) -> None:
    assert server.ask("GET", "/metrics").status == 401
    token = token_of(server, "viewer")["token"]
    call(server, "GET", "releases", token=token)
    text = server.ask("GET", "/metrics", headers={"Authorization": f"Bearer {token}"}).body.decode()
    assert 'edgekit_requests_total{method="GET",route="/api/v1/releases",status="200"}' in text
    assert "edgekit_scheduler_leads 1" in text
    assert 'edgekit_trust_days_left{role="timestamp"}' in text
    assert json.dumps("x") not in text


def test_the_commands_for_access_do_what_they_say(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EDGEKIT_SERVER", server.url)
    monkeypatch.setenv("EDGEKIT_TOKEN", server.token)

    def edgekit(*words: str) -> str:
        assert run(["access", *words]) == 0
        return capsys.readouterr().out.strip()

    edgekit("add", "ci", "--role", "publisher")
    token = edgekit("token", "ci", "--life", "1h", "--note", "nightly")
    assert call(server, "GET", "devices", token=token).status == 200
    (mine,) = [t for t in json.loads(edgekit("tokens", "--json")) if t["note"] == "nightly"]
    assert "nightly" in edgekit("tokens")
    edgekit("revoke", mine["id"])
    assert call(server, "GET", "devices", token=token).status == 401
    edgekit("disable", "ci")
    assert "disabled" in edgekit("list")
    lines = [json.loads(line) for line in edgekit("audit").splitlines()]
    assert lines[-1]["action"] == "PATCH /api/v1/accounts/ci"


def test_every_body_of_the_openapi_has_an_example_that_fits(server: Server) -> None:
    document = server.ask("GET", "/api/v1/openapi.json").json
    schemas, seen = document["components"]["schemas"], set()
    for operations in document["paths"].values():
        for operation in operations.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                if name := content["schema"].get("$ref", "").rpartition("/")[2]:
                    seen.add(name)
                    (example,) = schemas[name]["examples"]
                    assert set(example) <= set(schemas[name]["properties"]), name
                    assert set(schemas[name].get("required", ())) <= set(example), name
    assert len(seen) >= 10


def test_every_operation_of_the_openapi_has_a_name_of_its_own(server: Server) -> None:
    document = server.ask("GET", "/api/v1/openapi.json").json
    names = [o["operationId"] for path in document["paths"].values() for o in path.values()]
    assert len(names) == len(set(names)) > 50
    assert "Duplicate Operation ID" not in server.log()
