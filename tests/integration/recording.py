"""Records what this version says and stores, so that later versions can be tested against it.

    python -m tests.integration.recording tests/fixtures/0.1.0

Run it once when a version is released, or when one says something new, and keep what it wrote:

    server/fleet.sql, server/...   a server's folder with one release, before devices came
    exchange.jsonl                 every request of client and agent with its answer, in order
    device/...                     a device's folder after the update
    recorded.json                  when, which version, which names

Server, client, agent and model are real; requests go through a proxy that writes them down.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import shutil
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

import edgekit
from edgekit.client.http import FleetClient
from edgekit.client.publishing import publish
from edgekit.client.wire.admission import NewEnrolmentToken
from edgekit.client.wire.rollouts import NewRollout
from tests.integration.agent_fleet import CONFIG, Device, quiet_end
from tests.integration.agent_fleet_http import DEVICE
from tests.integration.agent_models import BRIGHT, DARK, make_bundle
from tests.integration.server_fleet import Engineer, Server, everybody, now, until

TOKEN_OF_SECONDS = "token_days = 0.00003\n"
_HOP = {"connection", "transfer-encoding", "date", "content-length", "host", "x-request-id"}
_SKIPPED = {"scheduler.lock", "agent.lock", ".lock", "port"}
_SKIPPED |= {"agent.toml", "status.json", "profile.json"}


@dataclass(frozen=True)
class Exchange:
    """One request and its answer; bodies are text, or base64 behind "base64:"."""

    method: str
    path: str
    headers: dict[str, str]
    body: str
    status: int
    answer_headers: dict[str, str]
    answer: str


class Proxy:
    """Hands requests on to a server and writes them down."""

    def __init__(self, port: int) -> None:
        self.exchanges: list[Exchange] = []
        self._port = port
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                said = proxy.ask(self.command, self.path, dict(self.headers), body)
                self.send_response(said.status)
                for name, value in said.getheaders():
                    if name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                        self.send_header(name, value)
                answer = proxy.note(self.command, self.path, dict(self.headers), body, said)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_HEAD = handle_any  # noqa: N815 (names of the library)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self._lock = threading.Lock()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        connection.request(method, path, body=body or None, headers=headers)
        return connection.getresponse()

    def note(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        said: http.client.HTTPResponse,
    ) -> bytes:
        answer = said.read()
        exchange = Exchange(
            method=method,
            path=path,
            headers=_kept(headers),
            body=as_text(body),
            status=said.status,
            answer_headers=_kept(dict(said.getheaders())),
            answer=as_text(answer),
        )
        with self._lock:
            if not self.exchanges or self.exchanges[-1] != exchange:
                self.exchanges.append(exchange)
        return answer


def as_text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(body).decode()


def as_bytes(text: str) -> bytes:
    if text.startswith("base64:"):
        return base64.b64decode(text.removeprefix("base64:"))
    return text.encode()


def _kept(headers: dict[str, str]) -> dict[str, str]:
    return {k.lower(): v for k, v in headers.items() if k.lower() not in _HOP}


def record(out: Path) -> None:
    """Write the recording of this version."""
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = Server(folder / "server")
        with server:
            engineer = Engineer.create(server, folder / "engineer")
            bundle = make_bundle(folder / "bundles", "1.0.0")
            with server.client() as client:
                publish(
                    client,
                    model="digits",
                    version="1.0.0",
                    bundles=[bundle.path],
                    keystore=engineer.keystore,
                    now=now(),
                )
            server.stop()
            _copy(server.data, out / "server")
            _dump(server.data / "fleet.sqlite", out / "server" / "fleet.sql")
            at = now()
            server.start()
            with _proxy(server.port) as proxy:
                _live(server, proxy, folder)
                url = proxy.url
        lines = [json.dumps(vars(e), sort_keys=True) for e in proxy.exchanges]
        (out / "exchange.jsonl").write_text("\n".join(lines) + "\n")
        _copy(folder / "device", out / "device")
    facts = {"version": edgekit.__version__, "at": at.isoformat(), "url": url, "device": DEVICE}
    (out / "recorded.json").write_text(json.dumps({**facts, "digest": bundle.sha256}) + "\n")


@contextlib.contextmanager
def _proxy(port: int) -> Iterator[Proxy]:
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()


@dataclass
class _Through:
    proxy: Proxy
    token: str

    def enrolment_file(self) -> dict[str, Any]:
        with FleetClient(self.proxy.url, self.token) as client:
            made = client.create_enrolment_token(NewEnrolmentToken(labels={"site": "osaka"}))
        return {"server": self.proxy.url, "token": made.token, "root_sha256": made.root_sha256}


def _live(server: Server, proxy: Proxy, folder: Path) -> None:
    """Let a client roll the release out and an agent install it."""
    through: Any = _Through(proxy, server.token)
    with quiet_end(Device(folder / "device", through)) as device:
        samples = folder / "samples"
        samples.mkdir()
        for index, image in enumerate((DARK, BRIGHT)):
            np.save(samples / f"{index}.npy", image)
        source = f'[source]\nfolder = "{samples}"\nrate_hz = 50\n'
        device.configure(TOKEN_OF_SECONDS + CONFIG + source)
        device.enrol()
        with FleetClient(proxy.url, server.token) as client:
            wanted = NewRollout(model="digits", version="1.0.0", policy=everybody())
            rollout = client.create_rollout(wanted)
            device.start()
            with server.client() as quietly:
                until(lambda: quietly.rollout(rollout.id).phase == "finished")
            for ask in (client.releases, lambda: client.telemetry(DEVICE)):
                ask()
            client.rollout(rollout.id)
            client.device(DEVICE)
            client.deployments(rollout.id)


def _copy(source: Path, out: Path) -> None:
    for path in sorted(source.rglob("*")):
        if not path.is_file() or path.name in _SKIPPED or "sqlite" in path.name:
            continue
        if path.suffix == ".sock" or path.name.startswith("log"):
            continue
        target = out / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _dump(file: Path, out: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as database:
        out.write_text("\n".join(database.iterdump()) + "\n")


if __name__ == "__main__":
    record(Path(sys.argv[1]))
