"""Callers that come too often to a real server: 429 with Retry-After, and nobody else pays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgekit.client.wire.accounts import NewAccount, NewToken
from fleet_server.api.door import WRONG_TOKENS
from tests.integration.server_fleet import Answer, Engineer, Server, SimulatedDevice, until

pytestmark = pytest.mark.integration

FEW = """
[limits]
device_requests_per_s = 0.2
token_requests_per_s = 1.0
address_requests_per_s = 0.2
"""
FEW_WRONG = """
[limits]
wrong_tokens_per_s = 0.05
"""


@contextmanager
def serving(folder: Path, settings: str) -> Iterator[Server]:
    server = Server(folder / "data")
    server.init()
    (server.data / "server.toml").write_text(settings)
    server.start()
    Engineer.create(server, folder / "engineer")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("limits"), FEW) as server:
        yield server


@pytest.fixture(scope="module")
def devices(server: Server) -> list[SimulatedDevice]:
    return [SimulatedDevice.enrol(server, name) for name in ("eager", "calm")]


def refusal(ask: Callable[[], Answer]) -> Answer:
    """Ask until it is too often; returns that answer."""

    def refused() -> Answer | None:
        answer = ask()
        return answer if answer.status == 429 else None

    answer: Answer = until(refused)
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    return answer


def test_a_device_that_asks_too_often_waits_and_its_neighbour_does_not(
    devices: list[SimulatedDevice],
) -> None:
    eager, calm = devices
    refusal(eager.poll_answer)  # most of its polls were answered from memory
    assert calm.poll_answer().status == 200
    body = refusal(lambda: eager.ask("GET", "/deploymentBase/1")).json
    assert body["errorCode"] == "hawkbit.server.error.too_many_requests"
    assert refusal(lambda: eager.ask("POST", "/telemetry", body=b"{}")).status == 429


def test_a_token_that_asks_too_often_waits_and_another_does_not(server: Server) -> None:
    with server.client() as client:
        client.create_account(NewAccount(name="anna", role="viewer"))
        made = client.create_token(NewToken(account="anna", role="viewer", life_s=600.0))
    headers = {"Authorization": f"Bearer {made.token}"}
    answer = refusal(lambda: server.ask("GET", "/api/v1/releases", headers=headers))
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    assert answer.json["status"] == 429
    refusal(lambda: server.ask("GET", "/metrics", headers=headers))
    admin = {"Authorization": f"Bearer {server.token}"}
    metrics = server.ask("GET", "/metrics", headers=admin)
    assert b'edgekit_requests_refused_total{by="token"}' in metrics.body


@pytest.mark.usefixtures("devices")  # they enrol from the same address
def test_probes_are_answered_always(server: Server) -> None:
    refusal(lambda: server.ask("GET", "/DEFAULT/tuf/metadata/root.json"))
    for path in ("/api/v1/alive", "/api/v1/health"):
        assert {server.ask("GET", path).status for _ in range(50)} == {200}


def test_wrong_tokens_wait_are_audited_once_and_shut_nobody_out(tmp_path: Path) -> None:
    with serving(tmp_path, FEW_WRONG) as server:
        known = SimulatedDevice.enrol(server, "known")
        known.poll()
        wrong = {"Authorization": "TargetToken wrong"}
        for _ in range(3):
            refusal(lambda: server.ask("GET", f"{known.path}/deploymentBase/1", headers=wrong))
        bearer = {"Authorization": "Bearer wrong"}
        refusal(lambda: server.ask("GET", "/api/v1/releases", headers=bearer))
        assert known.poll_answer().status == 200
        with server.client() as client:
            lines = [line for line in client.audit() if line.action == WRONG_TOKENS]
        told = [(line.status, line.address, line.account) for line in lines]
    assert told == [(429, "127.0.0.1", "")]
