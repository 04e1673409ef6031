"""A real server and one real agent, through the public commands; and the bare server beside it.

The bare one is what people write in an afternoon: ONNX Runtime behind Python's own HTTP server, no
check, no trial, no telemetry, and a restart to change the model.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.models import FILE, NAME, random_bundle
from edgekit.bundle import open_bundle
from edgekit.demo.processes import Background, Commands, free_port, wait_for

AGENT = """\
poll_interval_s = 0.2
window_s = 1.0
benchmark_busy_share = 1.0
[probation]
duration_s = 1.0
minimum_inferences = 5
"""
ROLLOUT = """\
model: {model}
version: "{version}"
stages:
  - {{percent: 100, bake_s: 0, timeout_s: 3600, min_windows: 1}}
"""
BODY = json.dumps(
    {"inputs": [{"name": "image", "shape": [8, 8], "datatype": "UINT8", "data": list(range(64))}]}
)
PATH = f"/v2/models/{NAME}/infer"
START_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OneDevice:
    """The fleet of one.

    Attributes:
        folder: Where everything lies.
        commands: The public commands, with the server's address.
        agent: The agent's process.
    """

    folder: Path
    commands: Commands
    agent: Background

    @property
    def state(self) -> Path:
        """Folder of the agent."""
        return self.folder / "device"

    def publish(self, version: str, *, channels: int) -> None:
        """Sign and publish a release with random weights."""
        folder = self.folder / f"release-{version}"
        random_bundle(folder, channels, version=version, seed=sum(map(ord, version)))
        (folder / FILE).unlink()
        words = ["edgekit", "release", "publish", str(folder), "--keys", str(self.folder / "keys")]
        self.commands.run(*words)

    def roll_out(self, version: str) -> None:
        """Start a rollout to the device; one that goes on is promoted first, by hand."""
        for rollout in self.commands.json("edgekit", "rollout", "list"):
            if rollout["ended_at"] is None:
                self.commands.run("edgekit", "rollout", "promote", rollout["id"])
        file = self.folder / f"{version}.yaml"
        file.write_text(ROLLOUT.format(model=NAME, version=version))
        self.commands.run("edgekit", "rollout", "start", str(file))

    def version(self) -> str:
        """Return the version that the device says it runs; empty before the first."""
        return str(self._model().get("version", ""))

    def address(self) -> str:
        """Return host and port of the model, empty before it runs."""
        return urlsplit(str(self._model().get("address", ""))).netloc

    def _model(self) -> dict[str, object]:
        try:
            status = json.loads((self.state / "status.json").read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        found: dict[str, object] = status.get("models", {}).get(NAME, {})
        return found


@contextmanager
def one_device(folder: Path, *, channels: int) -> Iterator[OneDevice]:
    """Start a server and an agent that runs version "1"."""
    port = free_port()
    environment = {
        "EDGEKIT_SERVER": f"http://127.0.0.1:{port}",
        "EDGEKIT_TOKEN_FILE": str(folder / "server" / "admin.token"),
        "EDGEKIT_PASSPHRASE": "of a benchmark",
    }
    commands = Commands(environment=environment, log=folder / "commands.log")
    server = Background(
        ["edgekit", "server", "run", str(folder / "server"), "--port", str(port), "--tick", "0.2"],
        log=folder / "server.log",
        environment=environment,
    )
    agent = Background(
        ["edgekit-agent", "run", "--state", str(folder / "device")],
        log=folder / "agent.log",
        environment={},
    )
    device = OneDevice(folder=folder, commands=commands, agent=agent)
    try:
        _enrol(device, server, port)
        agent.start()
        device.publish("1", channels=channels)
        device.roll_out("1")
        wait_for("the agent runs version 1", device.address, timeout_s=START_S, every_s=0.05)
        yield device
    finally:
        agent.stop()
        server.stop()


def _enrol(device: OneDevice, server: Background, port: int) -> None:
    folder, run = device.folder, device.commands.run
    run("edgekit", "server", "init", str(folder / "server"))
    server.start()
    wait_for("the server listens", lambda: _listens(port), timeout_s=START_S, every_s=0.05)
    run("edgekit", "keys", "create", str(folder / "keys"))
    run("edgekit", "keys", "add-model", str(folder / "keys"), NAME)
    run("edgekit", "keys", "install", str(folder / "keys"))
    run("edgekit", "device", "enrolment", "--out", str(folder / "enrolment.json"))
    device.state.mkdir()
    (device.state / "agent.toml").write_text(AGENT)
    words = ["edgekit-agent", "enrol", "--file", str(folder / "enrolment.json"), "--id", "one"]
    run(*words, "--state", str(device.state))


def bare_server(model: Path, port: int, *, log: Path) -> Background:
    """Return the bare server for a model file, not started yet."""
    return Background(
        [sys.executable, "-m", "benchmarks.bare_server", str(model), str(port)],
        log=log,
        environment={},
    )


def model_of(device: OneDevice, version: str) -> Path:
    """Return the model file of a release, unpacked."""
    (file,) = (device.folder / f"release-{version}").glob("*.bundle")
    target = device.folder / f"model-{version}.onnx"
    target.write_bytes(open_bundle(file).read(FILE))
    return target


def answers(netloc: str) -> bool:
    """Say whether the model gives an answer now."""
    connection = http.client.HTTPConnection(netloc, timeout=5.0)
    try:
        connection.request("POST", PATH, BODY)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return response.status == http.HTTPStatus.OK


def until_it_answers(netloc: str) -> float:
    """Ask until there is an answer; return the monotonic time of it."""
    deadline = time.monotonic() + START_S
    while not answers(netloc):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{netloc} does not answer")
        time.sleep(0.002)
    return time.monotonic()


def memory_mb(process: Background) -> float:
    """Return the memory of a process and its children, shared pages by share (PSS), MiB."""
    pids, total = [process.pid], 0.0
    while pids:
        pid = pids.pop()
        children = Path(f"/proc/{pid}/task/{pid}/children")
        pids += [int(word) for word in children.read_text().split()]
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) / 1024.0
    return total


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
