"""A real server process for tests, signed releases for it, and devices that are simulated.

The server, its sockets, its database and the signatures are real; a simulated device speaks the
real protocol but infers nothing and invents its windows.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from edgekit import codec
from edgekit.client.http import FleetClient
from edgekit.client.publishing import publish
from edgekit.client.trusting import install_trust
from edgekit.client.wire.admission import NewEnrolmentToken
from edgekit.client.wire.releases import ReleaseView
from edgekit.client.wire.rollouts import NewRollout, RolloutView
from edgekit.demo.processes import free_port
from edgekit.device import DeviceProfile
from edgekit.protocol import TelemetryBatch, TelemetryReceipt, running_header
from edgekit.telemetry import LogHistogram, Window
from edgekit.trust.keystore import KeyStore
from tests.manifests import make_bundle

PASSPHRASE = "correct horse battery"
ONNX = DeviceProfile(runtimes={"onnxruntime": "1.31.1"}, arch="x86_64")
LITERT = DeviceProfile(runtimes={"litert": "2.3.0"}, arch="x86_64")
_COMMAND = "from fleet_server.cli import app; app()"
PATIENCE_S = 90.0
"""A guard, never a promise: how long a test waits for what comes in a second on a quiet machine."""


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 (a test is its own composition root)


def until(condition: Callable[[], Any], *, within_s: float = PATIENCE_S) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not become true in time")


class Server:
    """One server folder, and the process that serves it."""

    def __init__(self, data: Path, *, log: str = "log") -> None:
        self.data = data
        self._log = data / log
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.environment: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.init()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            kill(self.process)

    def init(self) -> None:
        self.command("init", str(self.data))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-c", _COMMAND, *arguments],
            check=True,
            capture_output=True,
            timeout=180,
        )

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command that may fail."""
        command = [sys.executable, "-c", _COMMAND, *arguments]
        return subprocess.run(command, check=False, capture_output=True, timeout=120)

    def start(self, *, poll_interval: float = 1.0, tick: float = 0.2) -> None:
        self.port = self.port or free_port()
        arguments = ["run", str(self.data), "--port", str(self.port)]
        arguments += ["--poll-interval", str(poll_interval), "--tick", str(tick)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _COMMAND, *arguments],
                stderr=log,
                env={**os.environ, **self.environment},
            )
        until(self.answers, within_s=180)

    def answers(self) -> bool:
        assert self.process is not None
        code = self.process.poll()
        assert code is None, f"the server ended with {code}\n{self.log()}"
        try:
            return self.ask("GET", "/api/v1/health").status == 200
        except OSError:
            return False

    def stop(self, kind: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(kind)
        return self.process.wait(timeout=PATIENCE_S)

    def log(self) -> str:
        return self._log.read_text()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return (self.data / "admin.token").read_text().strip()

    def client(self) -> FleetClient:
        return FleetClient(self.url, self.token)

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read())
        finally:
            connection.close()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def configured(data: Path, **values: str) -> Path:
    """Make a server's folder with settings in it."""
    data.mkdir(mode=0o700)
    lines = [f'{name} = "{value}"\n' for name, value in values.items()]
    (data / "server.toml").write_text("".join(lines))
    return data


@dataclass
class Engineer:
    """Somebody with keys who publishes."""

    server: Server
    folder: Path
    keystore: KeyStore

    @classmethod
    def create(cls, server: Server, folder: Path, *models: str) -> Engineer:
        keystore = KeyStore.create(folder / "keys", PASSPHRASE)
        for model in models or ("digits",):
            keystore.add_model(model)
        with server.client() as client:
            install_trust(client, keystore, now=now())
        return cls(server, folder, keystore)

    def publish(
        self,
        version: str,
        *,
        model: str = "digits",
        variants: tuple[str, ...] = ("onnx-fp32",),
        size: int = 0,
    ) -> ReleaseView:
        bundles = [
            make_bundle(self.folder / "bundles", version, model=model, variant=v, size=size).path
            for v in variants
        ]
        with self.server.client() as client:
            return publish(
                client,
                model=model,
                version=version,
                bundles=bundles,
                keystore=self.keystore,
                now=now(),
            )

    def roll_out(self, version: str, *, model: str = "digits", **policy: Any) -> RolloutView:
        wanted = NewRollout(model=model, version=version, policy=policy or everybody())
        with self.server.client() as client:
            return client.create_rollout(wanted)


def everybody(**stage: Any) -> dict[str, Any]:
    """Return the policy of a quick rollout to all at once."""
    return {"stages": [quick(percent=100, **stage)], "gate": {"mode": "must_not_fail"}}


def quick(**stage: Any) -> dict[str, Any]:
    """Return a stage that ends by evidence: its timeout is longer than any test lasts."""
    return {"bake_s": 0, "timeout_s": 3600, "min_windows": 2, **stage}


@dataclass
class SimulatedDevice:
    """Speaks the device protocol. `behave` says how an update ends; windows are invented."""

    server: Server
    name: str
    token: str
    running: dict[str, str] = field(default_factory=dict)
    previous: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    latency_ms: dict[str, float] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    seq: int = 0

    @classmethod
    def enrol(
        cls,
        server: Server,
        name: str,
        *,
        profile: DeviceProfile = ONNX,
        labels: dict[str, str] | None = None,
    ) -> SimulatedDevice:
        with server.client() as client:
            made = client.create_enrolment_token(NewEnrolmentToken(labels=labels or {}))
        request = {"token": made.token, "device_id": name, "profile": profile}
        answer = server.ask("POST", "/api/v1/enrol", body=codec.encode(request))
        assert answer.status == 200, answer
        root = answer.json["root"].encode()
        assert hashlib.sha256(root).hexdigest() == made.root_sha256
        return cls(server, name, answer.json["device_token"])

    @property
    def path(self) -> str:
        return f"/DEFAULT/controller/v1/{self.name}"

    def ask(
        self,
        method: str,
        path: str = "",
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request below the device's address, or to an absolute one of the server."""
        path = path.removeprefix(self.server.url)
        where = path if "/DEFAULT/" in path else f"{self.path}{path}"
        data = body if isinstance(body, bytes | None) else codec.encode(body)
        sent = {"Authorization": f"TargetToken {self.token}", **(headers or {})}
        return self.server.ask(method, where, body=data, headers=sent)

    def poll_answer(self) -> Answer:
        """Poll, and say what is running; the same again may be answered from memory."""
        return self.ask("GET", headers={"EdgeKit-Running": running_header(self.running)})

    def poll(self) -> dict[str, str]:
        """Poll; returns the links."""
        answer = self.poll_answer()
        assert answer.status == 200, answer
        return {name: link["href"] for name, link in answer.json["_links"].items()}

    def turn(self) -> None:
        """Poll once, do what is asked, send a window of what runs."""
        links = self.poll()
        if href := links.get("deploymentBase"):
            self.update(href)
        if cancel := links.get("cancelAction"):
            self.ask("POST", cancel + "/feedback", body=feedback("closed", "success"))
        for model in self.running:
            self.send([self.window(model)])

    def update(self, href: str) -> None:
        base = self.ask("GET", href).json
        action, (chunk,) = base["id"], base["deployment"]["chunks"]
        meta = {m["key"]: m["value"] for m in chunk["metadata"]}
        (artifact,) = chunk["artifacts"]
        bundle = self.ask("GET", artifact["_links"]["download"]["href"]).body
        digest = hashlib.sha256(bundle).hexdigest()
        assert digest == artifact["hashes"]["sha256"]
        model, outcome = meta["edgekit:model"], self.outcomes.get(digest, "committed")
        if outcome != "rejected":
            answer = self.report(action, feedback("proceeding", "none", state="probation"))
            assert answer.status == 200, answer
            self.ran.append(digest)
        if outcome in {"committed", "unexercised"}:
            self.running[model] = digest
        result = "success" if outcome in {"committed", "unexercised"} else "failure"
        said = feedback("closed", result, outcome=outcome, digest=self.running.get(model, ""))
        answer = self.report(action, said)
        assert answer.status == 200, answer

    def report(self, action: str | int, body: dict[str, Any]) -> Answer:
        return self.ask("POST", f"/deploymentBase/{action}/feedback", body=body)

    def report_cancel(self, action: str) -> int:
        said = feedback("closed", "success")
        return self.ask("POST", f"/cancelAction/{action}/feedback", body=said).status

    def window(self, model: str, *, errors: int = 0) -> Window:
        self.seq += 1
        digest = self.running[model]
        latency = self.latency_ms.get(digest, 10.0)
        return Window(
            seq=self.seq,
            model=model,
            digest=digest,
            boot_id="boot",
            ended_mono_s=time.monotonic(),
            duration_s=1.0,
            inferences=100,
            errors={"infer": errors} if errors else {},
            latency_ms=LogHistogram.of([latency * (1 + 0.01 * i) for i in range(10)]),
            rss_mb=50.0,
        )

    def send(self, windows: list[Window], *, spool: str = "spool") -> TelemetryReceipt:
        batch = TelemetryBatch(
            spool_id=spool,
            boot_id="boot",
            sent_mono_s=time.monotonic(),
            windows=tuple(windows),
        )
        answer = self.ask("POST", "/telemetry", body=codec.encode(batch))
        assert answer.status == 200, answer
        return codec.decode(answer.body, TelemetryReceipt, where="receipt")

    def send_boots(self, *boots: str) -> None:
        """Send an empty batch of each boot, in this order."""
        for boot in boots:
            batch = TelemetryBatch(
                spool_id="spool", boot_id=boot, sent_mono_s=time.monotonic(), windows=()
            )
            answer = self.ask("POST", "/telemetry", body=codec.encode(batch))
            assert answer.status == 200, answer


def feedback(execution: str, finished: str, **edgekit: str) -> dict[str, Any]:
    """Return the body of a feedback; with keywords EdgeKit's own part of it."""
    status: dict[str, Any] = {
        "execution": execution,
        "result": {"finished": finished},
        "details": [f"it is {execution}"],
    }
    return {"id": "1", "status": {**status, **({"edgekit": edgekit} if edgekit else {})}}


def drive(
    server: Server, devices: list[SimulatedDevice], rollout: str, *, within_s: float = PATIENCE_S
) -> RolloutView:
    """Let devices take turns until a rollout is over; returns it."""
    over = {"finished", "rolled_back", "aborted", "held"}
    with server.client() as client:

        def ended() -> RolloutView | None:
            for device in devices:
                device.turn()
            view = client.rollout(rollout)
            return view if view.phase in over else None

        found: RolloutView = until(ended, within_s=within_s)
    return found


def kill(process: subprocess.Popen[bytes]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=PATIENCE_S)
