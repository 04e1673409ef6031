"""A test server that speaks DDI over real sockets, with a real TUF repository; and agents.

It is no fleet server: it offers what a test tells it to and writes down what devices say.
"""

from __future__ import annotations

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
from pathlib import Path
from typing import Any

from edgekit.bundle import Bundle
from edgekit.demo.processes import free_port
from edgekit.trust.keystore import KeyStore
from edgekit.trust.online import OnlineKeys
from edgekit.trust.signing import (
    TargetEntry,
    extend_model_targets,
    make_root,
    make_targets,
)
from tests.integration.agent_fleet_http import DEVICE, TOKEN, Handler, Server
from tests.integration.server_fleet import PATIENCE_S
from tests.metadata_folder import repository_in


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
        self.busy_after_cut = 0
        self.refuse_outcomes = 0
        self.lose_receipts = 0
        self.tokens = [TOKEN]
        self.gives_tokens = False
        self.given = 0
        self.tls: ssl.SSLContext | None = None
        self.cancelling = ""
        self.deltas: dict[str, tuple[str, bytes]] = {}
        self.mirror = ""
        self.on_closed: Callable[[], None] = lambda: None
        self.attributes: dict[str, str] = {}
        self.profiles: list[dict[str, Any]] = []
        self._lock = threading.RLock()
        self._sign(models)
        self._server: Server | None = None
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
        self.port = self.port or free_port()
        handler = type("Handler", (Handler,), {"fleet": self})
        self._server = Server(("127.0.0.1", self.port), handler)
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

    def arrived(self) -> list[dict[str, Any]]:
        """The windows that arrived until now, each once."""
        with self._lock:
            return list(self.windows.values())

    def inferences(self) -> int:
        """Inferences in all windows that arrived."""
        return sum(w["inferences"] for w in self.arrived())


CONFIG = """
poll_interval_s = 0.2
window_s = 0.5
inference_timeout_s = 1.5
drain_s = 1.0
[probation]
duration_s = 1.0
minimum_inferences = 2
"""
QUICK = """
poll_interval_s = 0.1
window_s = 0.5
drain_s = 0.3
[probation]
duration_s = 0.3
minimum_inferences = 2
[source]
folder = "{folder}"
rate_hz = {rate_hz}
"""
ANOTHER_BOOT = """
import sys
from pathlib import Path
import device_agent.boot
device_agent.boot._BOOT_ID = Path({file!r})
from device_agent.__main__ import main
sys.exit(main())
"""
"""An agent whose boot is named by a file, as on another machine or after a power cut."""


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
        code = self.process.wait(PATIENCE_S)
        self.process = None
        return code

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
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


def wait_for(what: Callable[[], Any], *, seconds: float = PATIENCE_S, why: str = "") -> Any:
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
