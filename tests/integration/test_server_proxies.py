"""The proxies of fleet_server/deploy: HAProxy for real, with TLS, in front of a real server."""

from __future__ import annotations

import http.client
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgekit.demo.processes import free_port
from tests.integration.server_fleet import Engineer, Server, SimulatedDevice, until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.needs("haproxy"),
    pytest.mark.needs("openssl"),
]

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


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    server = Server(tmp_path / "server")
    server.init()
    (server.data / "server.toml").write_text("behind_proxy = true\n")
    server.start()
    Engineer.create(server, tmp_path / "engineer")
    port, program = free_port(), shutil.which("haproxy")
    text = (DEPLOY / "haproxy.cfg").read_text()
    for there, here in (
        ("/etc/haproxy/tls/fleet.pem", str(certificate(tmp_path))),
        ("bind :443", f"bind 127.0.0.1:{port}"),
        ("server-1:8080", f"127.0.0.1:{server.port}"),
        ("server-2:8080", f"127.0.0.1:{server.port}"),
    ):
        assert there in text
        text = text.replace(there, here)
    file = tmp_path / "haproxy.cfg"
    file.write_text(text)
    assert program is not None
    command = [program, "-c", "-f", str(file)]
    checked = subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert checked.returncode == 0, checked.stderr
    assert b"WARNING" not in checked.stderr, checked.stderr
    proxy = subprocess.Popen([program, "-db", "-f", str(file)], stderr=subprocess.DEVNULL)
    try:
        front = Front(server, port)
        until(front.answers, within_s=60)
        yield front
    finally:
        proxy.terminate()
        proxy.wait(timeout=90)
        server.stop()


def test_devices_and_people_reach_the_server_through_haproxy(front: Front) -> None:
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
