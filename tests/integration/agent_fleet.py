"""A test server that speaks DDI over real sockets, with a real TUF repository; and agents.

It is no fleet server: it offers what a test tells it to and writes down what devices say.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from edgekit.bundle import Bundle
from edgekit.trust.keystore import KeyStore
from edgekit.trust.online import OnlineKeys
from edgekit.trust.signing import (
    TargetEntry,
    extend_model_targets,
    make_root,
    make_targets,
)
from tests.metadata_folder import repository_in

TOKEN = "t" * 64
DEVICE = "dev-1"
BASE = f"/DEFAULT/controller/v1/{DEVICE}"


@dataclass
class Offer:
    """One deployment, as the server sees it."""

    action: str
    bundle: Bundle
    kind: str = "update"
    model: str = ""
    version: str = ""
    variant: str = ""
    target: str = ""
    shadow: str = ""
    feedback: list[dict[str, Any]] = field(default_factory=list)
    closed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def outcome(self) -> tuple[str, str]:
        """How the device said that it ended: outcome and reason."""
        assert len(self.closed) == 1, self.closed
        said = self.closed[0]["edgekit"]
        return said["outcome"], said.get("reason", "")


class Fleet:
    """The server's side of one device."""

    def __init__(self, folder: Path, models: tuple[str, ...] = ("digits",)) -> None:
        self.folder = folder
        self.offers: list[Offer] = []
        self.running = ""
        self.polls = 0
        self.windows: dict[tuple[str, int], dict[str, Any]] = {}
        self.deliveries = 0
        self.ranges: list[str] = []
        self.cut_after: int | None = None
        self.tampered = False
        self.refuse_windows = 0
        self.busy = 0
        self.refuse_outcomes = 0
        self.lose_receipts = 0
        self.tokens = [TOKEN]
        self.gives_tokens = False
        self.given = 0
        self.tls: ssl.SSLContext | None = None
        self.cancelling = ""
        self.deltas: dict[str, tuple[str, bytes]] = {}
        self.on_closed: Callable[[], None] = lambda: None
        self.attributes: dict[str, str] = {}
        self.profiles: list[dict[str, Any]] = []
        self._lock = threading.RLock()
        self._sign(models)
        self._server: _Server | None = None
        self.port = 0

    # what people do

    def _sign(self, models: tuple[str, ...]) -> None:
        self.now = datetime.now(UTC)  # noqa: TID251 (agents under test read the real clock)
        self.keystore = KeyStore.create(self.folder / "engineer", "correct horse")
        for model in models:
            self.keystore.add_model(model)
        keys = OnlineKeys.generate()
        self.repository = repository_in(self.folder / "tuf", keys)
        self.online = keys.public()
        self.root = make_root(self.keystore, self.online, now=self.now)
        files = {
            "root": self.root,
            "targets": make_targets(self.keystore, self.keystore.models(), now=self.now),
        }
        for model in models:
            files[model] = extend_model_targets(self.keystore, model, None, [], now=self.now)
        self.repository.publish(files, now=self.now)

    def publish(self, bundle: Bundle, *, as_version: str = "") -> None:
        """Sign a bundle into the targets of its model."""
        manifest = bundle.manifest
        entry = TargetEntry.of_file(
            bundle.path,
            model=manifest.model,
            version=as_version or manifest.version,
            variant=manifest.variant,
        )
        data = extend_model_targets(
            self.keystore,
            manifest.model,
            self.repository.current(manifest.model),
            [entry],
            now=self.now,
        )
        self.repository.publish({manifest.model: data}, now=self.now)

    def new_root(self) -> None:
        """Replace the root key and publish the root that follows."""
        self.keystore.rotate("root")
        previous = self.repository.current("root")
        root = make_root(self.keystore, self.online, now=self.now, previous=previous)
        self.repository.publish({"root": root}, now=self.now)

    def offer(self, bundle: Bundle, *, publish: bool = True, **changed: str) -> Offer:
        """Offer a bundle to the device until it says how it ended."""
        if publish:
            self.publish(bundle, as_version=changed.get("version", ""))
        manifest = bundle.manifest
        model = changed.get("model", manifest.model)
        version = changed.get("version", manifest.version)
        target = f"models/{model}/{version}/{manifest.variant}.bundle"
        offer = Offer(
            action=str(len(self.offers) + 1),
            bundle=bundle,
            kind=changed.get("kind", "update"),
            model=model,
            version=version,
            variant=manifest.variant,
            target=changed.get("target", target),
            shadow=changed.get("shadow", ""),
        )
        with self._lock:
            self.offers.append(offer)
        return offer

    # sockets

    def start(self) -> None:
        """Listen; after `stop` on the same port again."""
        handler = type("Handler", (_Handler,), {"fleet": self})
        self._server = _Server(("127.0.0.1", self.port), handler)
        self.port = self._server.server_port
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        loop = self._server.serve_forever
        threading.Thread(target=loop, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Listen no more and close every connection."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.hang_up()
            self._server = None

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def enrolment_file(self) -> dict[str, str]:
        digest = hashlib.sha256(self.root).hexdigest()
        return {"server": self.url, "token": "enrol-me", "root_sha256": digest}

    def inferences(self) -> int:
        """Inferences in all windows that arrived."""
        with self._lock:
            return sum(w["inferences"] for w in self.windows.values())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *arguments: Any) -> None:
        self.open: set[Any] = set()
        super().__init__(*arguments)

    def get_request(self) -> Any:
        request = super().get_request()
        self.open.add(request[0])
        return request

    def hang_up(self) -> None:
        for connection in list(self.open):
            try:
                connection.shutdown(2)
            except OSError:
                continue

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, *_: Any) -> None:
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fleet: Fleet

    def do_GET(self) -> None:
        fleet, path = self.fleet, self.path.partition("?")[0]
        if path.startswith("/tuf/"):
            data = fleet.repository.read(path.removeprefix("/tuf/"))
            return self._send(404) if data is None else self._send(200, data)
        if not self._known():
            return None
        with fleet._lock:
            return self._get(path)

    def _get(self, path: str) -> None:
        fleet = self.fleet
        if path == BASE:
            fleet.polls += 1
            if fleet.busy:
                fleet.busy -= 1
                return self._send(503, headers={"Retry-After": "1"})
            fleet.running = self.headers.get("EdgeKit-Running", "")
            return self._json(self._poll())
        offer = self._offer(path, "deploymentBase")
        if offer is not None and path.endswith(f"/{offer.action}"):
            return self._json(_deployment(fleet.url, offer, fleet.deltas.get(offer.action)))
        if path.endswith("/delta"):
            fleet.ranges.append("delta")
            return self._send(200, fleet.deltas[path.split("/")[-2]][1])
        if "/artifacts/" in path:
            found = next(o for o in fleet.offers if path.endswith(f"/{o.action}"))
            return self._artifact(found)
        return self._send(404)

    def _poll(self) -> dict[str, Any]:
        url = f"{self.fleet.url}{BASE}"
        links = {
            "edgekit:telemetry": {"href": f"{url}/telemetry"},
            "edgekit:trust": {"href": f"{self.fleet.url}/tuf/"},
            "edgekit:profile": {"href": f"{url}/profile"},
        }
        if self.fleet.gives_tokens:
            links["edgekit:token"] = {"href": f"{url}/token"}
        if not self.fleet.attributes:
            links["configData"] = {"href": f"{url}/configData"}
        open_offers = [o for o in self.fleet.offers if not o.closed]
        if self.fleet.cancelling:
            links["cancelAction"] = {"href": f"{url}/cancelAction/{self.fleet.cancelling}"}
        elif open_offers:
            links["deploymentBase"] = {"href": f"{url}/deploymentBase/{open_offers[0].action}?c=1"}
        return {"config": {"polling": {"sleep": "00:00:01"}}, "_links": links}

    def _artifact(self, offer: Offer) -> None:
        data = offer.bundle.path.read_bytes()
        if self.fleet.tampered:
            data = data[:-30] + bytes([data[-30] ^ 1]) + data[-29:]
        wanted = self.headers.get("Range", "")
        self.fleet.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if wanted else {}
        cut, self.fleet.cut_after = self.fleet.cut_after, None
        self._send(206 if wanted else 200, data[start:], headers=headers, cut=cut)

    def do_PUT(self) -> None:
        body = self._body()
        if self.path.endswith("/configData"):
            self.fleet.attributes = json.loads(body)["data"]
        else:
            self.fleet.profiles.append(json.loads(body))
        self._send(200)

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/api/v1/enrol":
            answer = {
                "device_id": json.loads(body)["device_id"],
                "device_token": TOKEN,
                "tenant": "DEFAULT",
                "root": self.fleet.root.decode(),
            }
            return self._json(answer)
        if not self._known():
            return None
        with self.fleet._lock:
            if self.path.endswith("/token"):
                self.fleet.given += 1
                self.fleet.tokens = [
                    self.fleet.tokens[0],
                    f"token-of-the-device-{self.fleet.given}",
                ]
                return self._json({"token": self.fleet.tokens[-1]})
            if self.path.endswith("/telemetry"):
                return self._telemetry(json.loads(gzip.decompress(body)))
            return self._feedback(json.loads(body)["status"])

    def _feedback(self, status: dict[str, Any]) -> None:
        if "/cancelAction/" in self.path:
            self.fleet.cancelling = ""
            return self._send(200)
        offer = self._offer(self.path, "deploymentBase")
        if offer is None or offer.closed:
            return self._send(410)
        if status["execution"] == "closed" and self.fleet.refuse_outcomes:
            self.fleet.refuse_outcomes -= 1
            return self._send(409)
        closed = status["execution"] == "closed"
        (offer.closed if closed else offer.feedback).append(status)
        if closed:
            self.fleet.on_closed()
        return self._send(200)

    def _telemetry(self, batch: dict[str, Any]) -> None:
        fleet = self.fleet
        if fleet.refuse_windows and any(w["seq"] == fleet.refuse_windows for w in batch["windows"]):
            return self._send(422)
        for window in batch["windows"]:
            fleet.deliveries += 1
            fleet.windows.setdefault((batch["spool_id"], window["seq"]), window)
        if fleet.lose_receipts:
            fleet.lose_receipts -= 1
            return self._send(500)
        return self._json({"accepted": [w["seq"] for w in batch["windows"]]})

    def _offer(self, path: str, kind: str) -> Offer | None:
        parts = path.removeprefix(BASE).strip("/").split("/")
        if len(parts) < 2 or parts[0] != kind:
            return None
        return next((o for o in self.fleet.offers if o.action == parts[1]), None)

    def _known(self) -> bool:
        shown = self.headers.get("Authorization", "").removeprefix("TargetToken ")
        tokens = self.fleet.tokens
        if shown in tokens[-2:]:
            if shown == tokens[-1]:
                tokens[:-1] = []  # as a server does: the old one is good until the new one is used
            return True
        self._send(401)
        return False

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode())

    def _send(
        self,
        status: int,
        body: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


def _deployment(url: str, offer: Offer, delta: tuple[str, bytes] | None) -> dict[str, Any]:
    links = {"download-http": {"href": f"{url}{BASE}/artifacts/{offer.action}"}}
    if delta is not None:
        href = f"{url}{BASE}/deltas/{offer.action}/delta"
        links[f"edgekit:delta:{delta[0]}"] = {"href": href}
    artifact = {
        "filename": offer.bundle.path.name,
        "hashes": {"sha256": offer.bundle.sha256, "sha1": "", "md5": ""},
        "size": offer.bundle.size,
        "_links": links,
    }
    meta = {
        "edgekit:target": offer.target,
        "edgekit:model": offer.model,
        "edgekit:version": offer.version,
        "edgekit:variant": offer.variant,
        "edgekit:kind": offer.kind,
    }
    if offer.shadow:
        meta["edgekit:shadow"] = offer.shadow
    chunk = {
        "part": "bApp",
        "version": offer.version,
        "name": offer.model,
        "artifacts": [artifact],
        "metadata": [{"key": k, "value": v} for k, v in meta.items()],
    }
    body = {"download": "forced", "update": "forced", "chunks": [chunk]}
    return {"id": offer.action, "deployment": body}


CONFIG = """
poll_interval_s = 0.2
window_s = 0.5
inference_timeout_s = 1.5
drain_s = 1.0
[probation]
duration_s = 1.0
minimum_inferences = 5
"""


@dataclass
class Device:
    """A device's folder, and its agent as a process of its own."""

    folder: Path
    fleet: Fleet
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def configure(self, text: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "agent.toml").write_text(text)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "device_agent", *arguments, "--state", str(self.folder)],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )

    def enrol(self) -> None:
        file = self.folder.parent / "enrolment.json"
        file.write_text(json.dumps(self.fleet.enrolment_file()))
        done = self.command("enrol", "--file", str(file), "--id", DEVICE)
        assert done.returncode == 0, done.stderr

    def start(self, program: str = "", *arguments: str) -> None:
        """Start the agent; `program` is Python code to run instead of the module."""
        how = ["-c", program] if program else ["-m", "device_agent"]
        with (self.folder.parent / "agent.log").open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, *how, "run", "--state", str(self.folder), *arguments],
                stderr=out,
                env={**os.environ, **self.environment},
            )

    def stop(self) -> int:
        """End the agent as systemd would; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self.process = None
        return code

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def log(self) -> str:
        return (self.folder.parent / "agent.log").read_text(errors="replace")

    def status(self) -> dict[str, Any]:
        done = self.command("status", "--json")
        assert done.returncode == 0, done.stderr
        value: dict[str, Any] = json.loads(done.stdout)
        return value

    def live(self) -> dict[str, Any]:
        """What the running agent wrote about itself last."""
        try:
            value: dict[str, Any] = json.loads((self.folder / "status.json").read_bytes())
        except FileNotFoundError:
            return {"models": {}}
        return value

    def model(self, name: str = "digits") -> dict[str, Any]:
        value: dict[str, Any] = self.live()["models"].get(name, {})
        return value

    def slots(self, name: str = "digits") -> dict[str, str]:
        value: dict[str, str] = json.loads(
            (self.folder / "models" / name / "slots.json").read_bytes()
        )
        return value


def wait_for(what: Callable[[], Any], *, seconds: float = 30.0, why: str = "") -> Any:
    """Return the first true answer of `what`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = what()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(why or "it did not happen in time")


def gone(pid: int) -> bool:
    """Whether no process has the number any more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@contextmanager
def quiet_end(device: Device) -> Any:
    """Kill the agent at the end of a test, whatever happened."""
    try:
        yield device
    finally:
        device.kill()
