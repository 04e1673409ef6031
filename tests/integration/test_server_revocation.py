"""What was revoked through one server process stops working in the other, seconds later.

Two real processes on a real PostgreSQL, or on one SQLite file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from edgekit.client.http import FleetClient
from edgekit.client.wire.accounts import AccountChange, NewAccount, NewToken
from tests.integration.postgres import fresh_database
from tests.integration.server_fleet import (
    Engineer,
    Server,
    SimulatedDevice,
    configured,
    until,
)

pytestmark = pytest.mark.integration


@dataclass
class Pair:
    """Two processes of one server; what is changed is changed through the first."""

    one: Server
    two: Server

    def elsewhere(self, device: SimulatedDevice) -> SimulatedDevice:
        return SimulatedDevice(self.two, device.name, device.token)


@pytest.fixture(scope="module", params=["postgresql", "sqlite"])
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("revocation")
    kind = str(request.param)
    settings = {}
    if kind == "postgresql":
        settings["database"] = str(request.getfixturevalue("revocation_database"))
    data = configured(folder / "data", **settings)
    two = Server(data, log="log-two")
    with Server(data) as one:
        Engineer.create(one, folder / "engineer")
        two.start()
        try:
            yield Pair(one, two)
        finally:
            two.stop()


@pytest.fixture(scope="module")
def revocation_database(postgres_server: str) -> Iterator[str]:
    with fresh_database(postgres_server) as url:
        yield url


def refused(ask: Callable[[], int]) -> None:
    """Wait until what was answered is answered no more: every process looks each second."""
    until(lambda: ask() == 401)
    assert {ask() for _ in range(3)} == {401}


def test_a_devices_token_ends_in_every_process(pair: Pair) -> None:
    device = SimulatedDevice.enrol(pair.one, "stolen")
    device.running = {"digits": "d" * 64}
    other = pair.elsewhere(device)
    other.running = device.running
    for each in (device, other):
        assert each.poll() == each.poll()  # answered from memory from now on
    other.send([other.window("digits")])  # so is the check of the token of its telemetry
    with pair.one.client() as client:
        client.revoke("stolen", "stolen")
    assert device.poll_answer().status == 401
    refused(lambda: other.poll_answer().status)
    refused(lambda: other.ask("POST", "/telemetry", body=b"{}").status)


def test_the_token_before_a_rotation_ends_in_every_process(pair: Pair) -> None:
    device = SimulatedDevice.enrol(pair.one, "rotates")
    other = pair.elsewhere(device)
    assert other.poll() == other.poll()
    device.token = device.ask("POST", "/token").json["token"]
    device.poll()  # the new one is in use
    refused(lambda: other.poll_answer().status)
    other.token = device.token
    other.poll()


def test_a_gateways_token_ends_in_every_process(pair: Pair) -> None:
    with pair.one.client() as client:
        token = client.add_gateway("hall").token
    headers = {"Authorization": f"GatewayToken {token}"}

    def poll(server: Server) -> int:
        return server.ask("GET", "/DEFAULT/controller/v1/behind", headers=headers).status

    assert [poll(server) for server in (pair.one, pair.two, pair.two)] == [200, 200, 200]
    with pair.one.client() as client:
        client.drop_gateway("hall")
    assert poll(pair.one) == 401
    refused(lambda: poll(pair.two))


@pytest.mark.parametrize("how", ["revoked", "disabled"])
def test_a_persons_token_ends_in_every_process(pair: Pair, how: str) -> None:
    with pair.one.client() as client:
        client.create_account(NewAccount(name=f"anna-{how}", role="operator"))
        made = client.create_token(NewToken(account=f"anna-{how}", role="operator", life_s=60.0))
    with FleetClient(pair.two.url, made.token) as anna:
        anna.releases()
    headers = {"Authorization": f"Bearer {made.token}"}
    with pair.one.client() as client:
        if how == "revoked":
            client.revoke_token(made.view.id)
        else:
            client.change_account(f"anna-{how}", AccountChange(disabled=True))
    refused(lambda: pair.two.ask("GET", "/api/v1/releases", headers=headers).status)
