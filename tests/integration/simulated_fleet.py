"""A whole rollout with a bad release against a real server and a simulated fleet, measured."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from edgekit import codec
from edgekit.client.wire.admission import NewEnrolmentToken
from edgekit.client.wire.rollouts import RolloutView
from edgekit.protocol import EnrolmentFile
from tests.integration.server_fleet import Engineer, Server, kill, now, quick, until

GOOD, BAD = "1.0.0", "1.1.0"


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """What a bad release did to a fleet.

    Attributes:
        devices: Size of the fleet.
        exposed: Devices that ever ran the bad release, as the devices say.
        back_s: Seconds from the server's decision until the last of them had gone back.
        decided_s: Seconds from the rollout's start until the decision.
        installed_s: Seconds that the good release took to reach everybody before.
        outage_s: Seconds that the server was gone afterwards; 0 for no outage.
        returned_s: Seconds from its return until the last device had polled again.
        client: What the simulation says of itself.
    """

    devices: int
    exposed: int
    back_s: float
    decided_s: float
    installed_s: float
    outage_s: float = 0.0
    returned_s: float = 0.0
    client: dict[str, Any]


def expose(
    folder: Path,
    *,
    devices: int,
    canaries: int,
    poll_s: float,
    within_s: float,
    outage_s: float = 0.0,
) -> Exposure:
    """Roll a good release out to all, then a slow one, and see how far that one comes.

    With an outage the server is killed at the end, and comes back for all devices at once.
    """
    server = Server(folder / "server")
    server.init()
    server.start(poll_interval=poll_s, tick=1.0)
    try:
        engineer = Engineer.create(server, folder)
        engineer.publish(GOOD)
        engineer.publish(BAD)
        with _simulated(server, folder, devices=devices) as report, server.client() as client:
            began = time.monotonic()
            gate = {"mode": "must_not_fail", "max_failed_devices": devices}
            first = engineer.roll_out(GOOD, stages=[_all(within_s, 0.9)], gate=gate)
            _wait(server, first.id, within_s)
            until(
                lambda: client.rollout(first.id).counts.get("committed", 0) >= devices,
                within_s=within_s,
            )
            installed_s = time.monotonic() - began
            time.sleep(4 * poll_s)
            stages = [
                {**quick(devices=canaries, timeout_s=within_s), "min_windows": 3},
                _all(within_s, 0.5),
            ]
            bad = engineer.roll_out(BAD, stages=stages, gate={"mode": "must_not_fail"})
            view = _wait(server, bad.id, within_s)
            assert view.phase == "rolled_back", view
            back = until(lambda: _all_back(server, bad.id), within_s=within_s)
            returned_s = _outage(server, outage_s, poll_s, within_s) if outage_s else 0.0
        decided = next(h.at for h in view.happenings if h.kind == "rolled_back")
        client_said = report()
        return Exposure(
            devices=devices,
            exposed=client_said["ran"].get(BAD, 0),
            back_s=_between(decided, back),
            decided_s=_between(view.started_at, decided),
            installed_s=installed_s,
            outage_s=outage_s,
            returned_s=returned_s,
            client=client_said,
        )
    finally:
        server.stop()


def _outage(server: Server, outage_s: float, poll_s: float, within_s: float) -> float:
    """Kill the server for a while; return how long the last device took to come back."""
    assert server.process is not None
    kill(server.process)
    time.sleep(outage_s)
    server.start(poll_interval=poll_s, tick=1.0)
    began, at = time.monotonic(), now()
    with server.client() as client:

        def everybody_is_back() -> bool:
            time.sleep(1.0)
            seen = (d.last_seen_at for d in client.devices())
            return all(s and datetime.fromisoformat(s) > at for s in seen)

        until(everybody_is_back, within_s=within_s)
    return time.monotonic() - began


def _all(within_s: float, reporting: float) -> dict[str, Any]:
    stage = quick(percent=100, timeout_s=within_s)
    return {**stage, "min_windows": 1, "min_reporting": reporting}


@contextmanager
def _simulated(server: Server, folder: Path, *, devices: int) -> Iterator[Any]:
    with server.client() as client:
        made = client.create_enrolment_token(NewEnrolmentToken(uses=devices))
    file = EnrolmentFile(server=server.url, token=made.token, root_sha256=made.root_sha256)
    (folder / "enrolment.json").write_bytes(codec.encode(file))
    code = "import typer; from device_agent.simulation.command import simulate; typer.run(simulate)"
    command = [sys.executable, "-c", code, str(folder / "enrolment.json")]
    command += ["--devices", str(devices), "--seconds", "36000", "--slow", f"{BAD}=4"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    said: list[str] = []
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "are enrolled" in line, line + process.stderr.read()
        yield lambda: json.loads(said[0])
    finally:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=120)
        said.append(out)
        assert process.returncode == 0, err


def _wait(server: Server, rollout: str, within_s: float) -> RolloutView:
    over = {"finished", "rolled_back", "aborted", "held", "paused"}
    with server.client() as client:

        def ended() -> RolloutView | None:
            time.sleep(0.5)
            view = client.rollout(rollout)
            return view if view.phase in over else None

        view: RolloutView = until(ended, within_s=within_s)
    return view


def _all_back(server: Server, rollout: str) -> str | None:
    """Return when the last exposed device had gone back; None as long as one has not."""
    time.sleep(0.5)
    with server.client() as client:
        deployments = client.deployments(rollout)
    forward = {d.device for d in deployments if d.kind == "update" and d.state == "committed"}
    back = {d.device: d.ended_at for d in deployments if d.kind == "rollback" and d.ended_at}
    times = [ended for ended in back.values() if ended]
    return max(times, default="") if forward <= set(back) and times else None


def _between(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
