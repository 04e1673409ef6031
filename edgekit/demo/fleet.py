"""The demo's fleet: one server and six agents, each an operating-system process of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.client.http import FleetClient
from edgekit.demo.processes import Background, Commands, free_port

POLL_INTERVAL_S = 1
TICK_S = 0.5
WINDOW_S = 1.5
PROBATION_S = 2.0
IMAGES_PER_S = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One simulated board: a folder, and the runtime that it is allowed to have.

    Attributes:
        id: Its name.
        runtime: "onnxruntime" or "litert".
        state: Folder of its agent.
        process: Its agent.
    """

    id: str
    runtime: str
    state: Path
    process: Background

    def status(self, commands: Commands) -> dict[str, Any]:
        """Return what `edgekit-agent status --json` says."""
        status: dict[str, Any] = json.loads(
            commands.run("edgekit-agent", "status", "--state", str(self.state), "--json")
        )
        return status


@dataclass(slots=True, kw_only=True)
class Fleet:
    """The server's process, its address and its devices.

    Attributes:
        folder: Where server and devices keep their files.
        commands: The public commands.
        port: Of the server, on loopback.
        server: The server's process.
        devices: By name, in order.
    """

    folder: Path
    commands: Commands
    port: int
    server: Background
    devices: dict[str, Device] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self.folder / "server"

    def client(self) -> FleetClient:
        """Return a typed client with the operator's token."""
        return FleetClient(self.url, (self.data / "admin.token").read_text().strip())

    def add_device(self, name: str, runtime: str, images: Path) -> Device:
        """Make a device's folder and configuration; it neither runs nor is enrolled yet."""
        state = self.folder / name
        state.mkdir(parents=True)
        (state / "agent.toml").write_text(_agent_toml(runtime, images))
        process = Background(
            ["edgekit-agent", "run", "--state", str(state)],
            log=self.folder / f"{name}.log",
            environment={},
        )
        device = Device(id=name, runtime=runtime, state=state, process=process)
        self.devices[name] = device
        return device

    def stop(self) -> None:
        """Stop every process of the fleet."""
        for device in self.devices.values():
            device.process.stop()
        self.server.stop()


def new_fleet(folder: Path, commands: Commands) -> Fleet:
    """Return a fleet without devices, whose server is not started yet."""
    folder.mkdir(parents=True)
    port = free_port()
    words = ["edgekit", "server", "run", str(folder / "server"), "--port", str(port)]
    words += ["--poll-interval", str(POLL_INTERVAL_S), "--tick", str(TICK_S)]
    server = Background(words, log=folder / "server.log", environment=commands.environment)
    return Fleet(folder=folder, commands=commands, port=port, server=server)


def _agent_toml(runtime: str, images: Path) -> str:
    return f"""\
runtimes = ["{runtime}"]
window_s = {WINDOW_S}
threads = 1

[probation]
duration_s = {PROBATION_S}

[source]
folder = {json.dumps(str(images))}
rate_hz = {IMAGES_PER_S}
"""
