"""Servers with many registered devices for benchmarks: SQLite, or PostgreSQL with processes.

Devices are written into the store directly, with tokens that are known here; everything else goes
over HTTP. Holds no question.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.load import process
from edgekit.client.http import FleetClient, read_token
from edgekit.client.trusting import install_trust
from edgekit.demo.processes import free_port
from edgekit.device import DeviceProfile
from edgekit.protocol import TENANT
from edgekit.trust.keystore import KeyStore
from fleet_server.services.config import load_config
from fleet_server.services.records.devices import DeviceRecord
from fleet_server.services.tokens import digest_of
from fleet_server.store.database import SqlDatabase

EDGEKIT = [sys.executable, "-m", "edgekit.cli", "server"]
DIGEST = "ab" * 32
_SETTINGS = """database = "{database}"
[limits]
device_requests_per_s = 1e6
"""
"""A few devices stand for a large fleet here: each asks far more often than a real one may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """A server that runs, and its devices.

    Attributes:
        data: The server's folder.
        ports: Of its processes.
        devices: How many are registered.
    """

    data: Path
    ports: tuple[int, ...]
    devices: int

    def request(self, index: int, *, method: str = "GET", path: str = "", body: str = "") -> str:
        """Return a whole request of a device."""
        lines = [
            f"{method} /{TENANT}/controller/v1/{device_id(index)}{path} HTTP/1.1",
            "Host: fleet.example",
            f"Authorization: TargetToken {token(index)}",
            f"EdgeKit-Running: digits={DIGEST}",
        ]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join(lines) + "\r\n\r\n" + body


def device_id(index: int) -> str:
    """Return the name of a device."""
    return f"bench-{index:07}"


def token(index: int) -> str:
    """Return a device's token; as long as a real one."""
    return f"{index:043}"


@contextmanager
def running_fleet(
    folder: Path, *, devices: int, database: str = "", processes: int = 1
) -> Iterator[Fleet]:
    """Run the real server over devices that have nothing to do."""
    data = folder / "server"
    data.mkdir(parents=True)
    (data / "server.toml").write_text(_SETTINGS.format(database=database))
    subprocess.run([*EDGEKIT, "init", str(data)], check=True, capture_output=True)
    register(data, range(devices))
    with ExitStack() as stack:
        ports = []
        for _ in range(processes):
            port = free_port()
            command = [*EDGEKIT, "run", str(data), "--port", str(port)]
            stack.enter_context(process(command, port))
            ports.append(port)
        admin = read_token(data / "admin.token")
        with FleetClient(f"http://127.0.0.1:{ports[0]}", admin) as client:
            keys = KeyStore.create(folder / "keys", "of a benchmark")
            install_trust(client, keys, now=now())
        yield Fleet(data=data, ports=tuple(ports), devices=devices)


def register(data: Path, numbers: range) -> None:
    """Write devices into a server's store."""
    database = SqlDatabase.open(load_config(data, {}).database_url)
    profile = DeviceProfile(runtimes={"onnxruntime": "1.31.1"}, arch="x86_64")
    with database.write() as tables:
        for index in numbers:
            tables.devices.put(
                DeviceRecord(
                    id=device_id(index),
                    token_sha256=digest_of(token(index)),
                    enrolled_by="0" * 64,
                    enrolled_at=now(),
                    profile=profile,
                    running={"digits": DIGEST},
                    speaks_running=True,
                    attributes_wanted=False,
                )
            )
    database.close()


def now() -> datetime:
    """Return the time; a benchmark is its own composition root."""
    return datetime.now(UTC)  # noqa: TID251 (composition root)
