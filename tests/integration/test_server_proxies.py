"""The proxies of fleet_server/deploy: HAProxy and Caddy, with TLS, before a real server."""

from __future__ import annotations

import http.client
import os
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgekit.demo.processes import free_port
from tests.integration.server_fleet import Engineer, Server, SimulatedDevice, until

pytestmark = [pytest.mark.integration, pytest.mark.needs("openssl")]

DEPLOY = Path(__file__).resolve().parents[2] / "fleet_server" / "deploy"
SPOOFED = "203.0.113.9"


def certificate(folder: Path) -> Path:
    """Make a certificate and its key in one file, as HAProxy takes them."""
    key, chain, both = (folder / name for name in ("key.pem", "chain.pem", "fleet.pem"))
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=fleet.example", "-keyout", str(key), "-out", str(chain)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    both.write_text(chain.read_text() + key.read_text())
    return both


@dataclass
class Front:
    """A proxy, and the server behind it."""

    server: Server
    port: int

    def get(self, path: str, headers: dict[str, str]) -> tuple[http.client.HTTPResponse, bytes]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        link = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=context)
        link.request("GET", path, headers={"Host": "fleet.example", **headers})
        answer = link.getresponse()
        body = answer.read()
        link.close()
        return answer, body

    def answers(self) -> bool:
        try:
            return self.get("/api/v1/health", {})[0].status == 200
        except OSError:
            return False


def filled(name: str, folder: Path, server: Server, **changes: str) -> Path:
    """Write a proxy's file as it stands, but for where things are on this machine."""
    text, here = (DEPLOY / name).read_text(), f"127.0.0.1:{server.port}"
    for before, after in {**changes, "server-1:8080": here, "server-2:8080": here}.items():
        assert before in text
        text = text.replace(before, after, 1)
    file = folder / name
    file.write_text(text)
    return file


def haproxy(folder: Path, server: Server, port: int) -> list[str]:
    """Return the command of HAProxy, which takes its file without a warning."""
    pem = {"/etc/haproxy/tls/fleet.pem": str(certificate(folder))}
    file = filled("haproxy.cfg", folder, server, **pem, **{"bind :443": f"bind 127.0.0.1:{port}"})
    command = ["haproxy", "-c", "-f", str(file)]
    checked = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert checked.returncode == 0, checked.stderr
    assert b"WARNING" not in checked.stderr, checked.stderr
    return ["haproxy", "-db", "-f", str(file)]


def caddy(folder: Path, server: Server, port: int) -> list[str]:
    """Return the command of Caddy; it fetches no certificate for a name that is not ours."""
    pem = certificate(folder)
    changes = {
        "\n{\n": "\n{\nadmin off\nauto_https off\ndefault_sni fleet.example\n",
        "fleet.example {\n": f"fleet.example:{port} {{\nbind 127.0.0.1\ntls {pem} {pem}\n",
    }
    file = filled("Caddyfile", folder, server, **changes)
    return ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]


PROXIES = [
    pytest.param(haproxy, marks=pytest.mark.needs("haproxy"), id="haproxy"),
    pytest.param(caddy, marks=pytest.mark.needs("caddy"), id="caddy"),
]


@pytest.fixture(params=PROXIES)
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    server = Server(tmp_path / "server")
    server.init()
    (server.data / "server.toml").write_text("behind_proxy = true\n")
    server.start()
    Engineer.create(server, tmp_path / "engineer")
    port = free_port()
    command = request.param(tmp_path, server, port)
    environment = {**os.environ, "HOME": str(tmp_path)}
    proxy = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
    try:
        front = Front(server, port)
        until(front.answers, within_s=60)
        yield front
    finally:
        proxy.terminate()
        proxy.wait(timeout=90)
        server.stop()


def test_devices_and_people_reach_the_server_through_a_proxy(front: Front) -> None:
    answer, _ = front.get("/api/v1/health", {})
    assert "max-age" in answer.headers["Strict-Transport-Security"]
    device = SimulatedDevice.enrol(front.server, "behind")
    shown = {"Authorization": f"TargetToken {device.token}"}
    answer, body = front.get(device.path, shown)
    assert answer.status == 200
    assert f"https://fleet.example{device.path}".encode() in body
    lying = {"X-Forwarded-For": SPOOFED, "X-Request-Id": "chosen", "Authorization": "Bearer x"}
    answer, _ = front.get("/api/v1/releases", lying)
    assert answer.status == 401
    assert answer.headers["X-Request-Id"] != "chosen"
