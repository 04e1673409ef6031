"""Downloads of one site: at most so many at once, over real sockets and two server processes."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.integration.server_fleet import (
    Engineer,
    Server,
    SimulatedDevice,
    configured,
    until,
)

pytestmark = pytest.mark.integration


def offers(device: SimulatedDevice) -> bool:
    return "deploymentBase" in device.poll()


@dataclass
class Site:
    """Two processes of one server that allows one download a site, and devices with an offer."""

    one: Server
    two: Server
    devices: dict[str, SimulatedDevice]

    def ask(
        self, name: str, server: Server, headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Begin a device's download and read nothing of the body."""
        device = self.devices[name]
        base = device.ask("GET", device.poll()["deploymentBase"]).json
        href = base["deployment"]["chunks"][0]["artifacts"][0]["_links"]["download"]["href"]
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=90)
        shown = {"Authorization": f"TargetToken {device.token}", **(headers or {})}
        connection.request("GET", href.removeprefix(self.one.url), headers=shown)
        return connection, connection.getresponse()

    def status(self, name: str, server: Server, headers: dict[str, str] | None = None) -> int:
        connection, response = self.ask(name, server, headers)
        response.read()
        connection.close()
        return response.status


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    postgresql = request.param == "postgresql"
    url = request.getfixturevalue("postgres_url") if postgresql else ""
    data = configured(tmp_path / "data", database=url)
    with (data / "server.toml").open("a") as file:
        file.write("[limits]\ndownloads_per_site = 1\n")
    one, two = Server(data), Server(data, log="log-two")
    one.init()
    one.start()
    two.start()
    engineer = Engineer.create(one, tmp_path / "engineer")
    engineer.publish("1.0.0", size=LARGE)
    devices = {
        name: SimulatedDevice.enrol(one, name, labels=labels)
        for name, labels in (
            ("first", {"site": "a"}),
            ("second", {"site": "a"}),
            ("elsewhere", {"site": "b"}),
            ("nowhere", {}),
        )
    }
    engineer.roll_out("1.0.0")
    for device in devices.values():
        until(partial(offers, device))
    yield Site(one, two, devices)
    one.stop()
    two.stop()


LARGE = 24 << 20
"""Bytes of the bundle: more than sockets hold on their way."""


def test_a_site_downloads_by_turns_over_all_processes(site: Site) -> None:
    connection, response = site.ask("first", site.one)
    assert response.status == 200
    response.read(1000)
    later, refused = site.ask("second", site.two)
    assert refused.status == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    later.close()
    assert site.status("elsewhere", site.two) == 200
    assert site.status("nowhere", site.one) == 200
    assert site.status("first", site.two, {"Range": "bytes=0-99"}) == 206, "it keeps its slot"
    assert site.status("second", site.two) == 429
    response.read()
    until(lambda: site.status("second", site.two) == 200)
    connection.close()


@pytest.mark.parametrize("site", ["sqlite"], indirect=True)
def test_a_download_that_was_cut_off_keeps_its_slot_for_the_rest(site: Site) -> None:
    connection, response = site.ask("first", site.one)
    response.read(1000)
    connection.close()
    assert site.status("second", site.two) == 429
    assert site.status("first", site.two, {"Range": "bytes=1000-"}) == 206
    until(lambda: site.status("second", site.one) == 200)
