"""Downloads by a mirror: a real server, a caching proxy process, and the agent's download code."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from device_agent import mirrors
from device_agent.ddi import Ddi
from device_agent.download import no_pause
from device_agent.identity import Identity
from device_agent.journal import Deployment
from device_agent.mirrors import fetch_whole
from device_agent.transport import Transport
from edgekit.demo.processes import free_port
from edgekit.errors import RefusedError, TrustError
from tests.integration.caching_mirror import mirroring
from tests.integration.server_fleet import Engineer, Server, SimulatedDevice, until
from tests.manifests import make_bundle

pytestmark = pytest.mark.integration


class Watched(Transport):
    """A transport to the server that writes down what is downloaded by it."""

    asked: list[str]

    @contextmanager
    def stream(self, method: str, url: str, **more: Any) -> Iterator[HTTPResponse]:
        self.asked.append((more.get("headers") or {}).get("Range", "all"))
        with super().stream(method, url, **more) as response:
            yield response


@dataclass
class Site:
    """A device that is offered a bundle that a mirror has too.

    Attributes:
        wanted: As the device read it from the server.
        data: Bytes of the bundle.
        folder: Of the mirror.
    """

    transport: Watched
    wanted: Deployment
    data: bytes
    folder: Path

    def behave(self, mode: str) -> None:
        (self.folder / "mode").write_text(mode)

    def lines(self, name: str) -> list[Any]:
        file = self.folder / name
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def fetch(self, part: Path, **changed: str) -> list[str]:
        """Download as an agent does; returns what the server was asked for."""
        self.transport.asked = []
        wanted = replace(self.wanted, **changed)  # type: ignore[arg-type]
        fetch_whole(self.transport, wanted, part, steering=lambda: no_pause)
        return self.transport.asked


def offered(server: Server, folder: Path) -> tuple[Watched, Deployment]:
    """Publish and roll out a bundle; returns what a device reads of it."""
    engineer = Engineer.create(server, folder)
    engineer.publish("1.0.0")
    device = SimulatedDevice.enrol(server, "one")
    engineer.roll_out("1.0.0")
    identity = Identity(server=server.url, device_id=device.name, token=device.token)
    transport = Watched(server.url, {"Authorization": identity.authorization})
    transport.asked = []
    ddi = Ddi(transport, identity)
    href = until(lambda: ddi.poll({}).deployment)
    return transport, ddi.deployment(href)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("mirror")
    server = Server(folder / "data")
    server.init()
    server.port = free_port()
    with mirroring(server.url, folder / "mirror") as address:
        settings = f'[downloads]\npublic = true\nmirror = "{address}"\n'
        (server.data / "server.toml").write_text(settings)
        server.start()
        transport, wanted = offered(server, folder)
        data = make_bundle(folder / "again", "1.0.0").path.read_bytes()
        yield Site(transport, wanted, data, folder / "mirror")
        transport.close()
        server.stop()


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "bundle.part"


def test_a_mirror_gives_the_bytes_and_never_sees_a_token(site: Site, part: Path) -> None:
    site.behave("good")
    assert site.wanted.mirror.endswith(f"/fleet/bundles/{site.wanted.digest}")
    assert site.fetch(part) == []
    part.write_bytes(site.data[:1000])
    assert site.fetch(part) == []
    assert part.read_bytes() == site.data
    assert site.lines("asked")[-1]["range"] == "bytes=1000-"
    assert len(site.lines("fetched")) == 1, "all the rest came from what the mirror kept"
    assert {h for line in site.lines("asked") for h in line["headers"]} <= {
        "Accept-Encoding",
        "Host",
        "Range",
    }


@pytest.mark.parametrize(
    ("mode", "server_gives"),
    [
        ("gone", ["all"]),
        ("broken", ["all"]),
        ("elsewhere", ["all"]),
        ("lies", ["all"]),
        ("lies and ends", ["bytes=HALF-", "all"]),
    ],
)
def test_whatever_is_wrong_with_a_mirror_costs_one_log_line(
    site: Site,
    part: Path,
    mode: str,
    server_gives: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    site.behave(mode)
    with caplog.at_level(logging.INFO):
        asked = site.fetch(part)
    assert asked == [one.replace("HALF", str(len(site.data) // 2)) for one in server_gives]
    assert part.read_bytes() == site.data
    assert [record.message for record in caplog.records] == ["mirror failed"]


@pytest.mark.parametrize("mode", ["silent", "stalls"])
def test_a_mirror_that_falls_silent_is_left_with_what_it_gave(
    site: Site,
    part: Path,
    mode: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(mirrors, "MIRROR_SILENT_S", 1.0)
    site.behave(mode)
    with caplog.at_level(logging.INFO):
        (asked,) = site.fetch(part)
    assert asked in {"all", f"bytes={len(site.data) // 2}-"}
    assert part.read_bytes() == site.data
    assert [record.message for record in caplog.records] == ["mirror failed"]


def test_not_one_byte_more_than_was_signed_is_taken_from_a_mirror(site: Site, part: Path) -> None:
    site.behave("endless")
    assert site.fetch(part) == []
    assert part.read_bytes() == site.data


@pytest.mark.parametrize(
    "mirror",
    ["http://127.0.0.1:{free}/x", "http://[", "ftp://x/y", "http://127.0.0.1:99999/x", "x"],
)
def test_a_mirror_that_is_not_there_or_no_address_is_passed_by(
    site: Site, part: Path, mirror: str
) -> None:
    assert site.fetch(part, mirror=mirror.format(free=free_port())) == ["all"]
    assert part.read_bytes() == site.data


def test_bytes_of_another_digest_are_refused_from_both(site: Site, part: Path) -> None:
    site.behave("good")
    with pytest.raises(TrustError):
        site.fetch(part, digest="0" * 64)
    assert site.transport.asked == ["all"]
    assert not part.exists()


def test_the_download_link_itself_may_lead_to_no_other_server(site: Site, part: Path) -> None:
    site.behave("good")
    before = len(site.lines("asked"))
    with pytest.raises(RefusedError, match="not on the enrolled server"):
        site.fetch(part, url=site.wanted.mirror, mirror="")
    assert len(site.lines("asked")) == before
