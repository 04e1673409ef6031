"""SIGKILL at every journal write of an update: before it, and after it.

A kill, not a power cut: what was written stays. The agent is the real one in its own process; only
`Journal.write` is wrapped, to end the process at the wanted moment of the wanted release; so the
agent that finishes one deployment is the one that is killed in the next.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.bundle import file_digest
from tests.integration.agent_fleet import QUICK, Device, Fleet, Offer, quiet_end, wait_for
from tests.integration.agent_models import BRIGHT, make_bundle

pytestmark = [pytest.mark.integration, pytest.mark.slow]
KILL_AT = """
import os, signal, sys
from device_agent.journal import Journal
from device_agent.__main__ import main
moment, version, write, count = {moment}, {version!r}, Journal.write, 0

def wrapped(self, record):
    global count
    count += bool(count or record.deployment and record.deployment.version == version)
    if count and 2 * count - 1 == moment:
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, record)
    if count and 2 * count == moment:
        os.kill(os.getpid(), signal.SIGKILL)

Journal.write = wrapped
sys.exit(main())
"""


@pytest.fixture
def device(tmp_path: Path, fleet: Fleet) -> Iterator[Device]:
    with quiet_end(Device(tmp_path / "device", fleet)) as device:
        (tmp_path / "samples").mkdir()
        np.save(tmp_path / "samples" / "0.npy", BRIGHT)
        device.configure(QUICK.format(folder=tmp_path / "samples", rate_hz=50))
        device.enrol()
        yield device


def ends_by_itself_or_reports(device: Device, offer: Offer) -> bool:
    """Wait until the agent was killed (True), or has done all that it had to (False)."""
    assert device.process is not None
    resting_since = 0.0
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if device.process.poll() is not None:
            assert device.process.returncode == -signal.SIGKILL, device.log()
            return True
        if offer.closed and b'"state":"idle"' in (device.folder / "journal.json").read_bytes():
            resting_since = resting_since or time.monotonic()
            if time.monotonic() - resting_since > 2.0:
                return False
        time.sleep(0.02)
    raise AssertionError(device.log())


def check(device: Device, offer: Offer, before: str, outcomes: set[tuple[str, str]]) -> str:
    """Check what a restarted agent does in the end; returns the digest that runs."""
    wait_for(lambda: offer.closed, why=device.log())
    assert offer.outcome in outcomes
    kept = offer.outcome[0] in {"committed", "unexercised"}
    runs = offer.bundle.sha256 if kept else before
    wait_for(lambda: device.fleet.running == f"digits={runs}", why=device.log())
    assert offer.closed[0]["edgekit"]["digest"] == runs
    model = device.folder / "models" / "digits"
    assert file_digest(model / runs / "bundle.bundle") == runs
    slots = device.slots()
    assert (slots["active"], slots["trial"]) == (runs, "")
    wait_for(lambda: not list((device.folder / "downloads").iterdir()), why="a file is left over")
    held = {slots["active"], slots["previous"]}
    if offer.outcome[0] == "shadowed":
        held.add(offer.bundle.sha256)  # kept for the installation that may follow
    wait_for(lambda: {d.name for d in model.iterdir() if d.is_dir()} <= held, why="left over")
    return runs


def killed_in(moment: int) -> str:
    """Return a program that is killed at a moment of the release that is offered for it."""
    return KILL_AT.format(moment=moment, version=f"2.{moment}.0")


def sweep(
    device: Device,
    fleet: Fleet,
    *,
    first: int,
    outcomes: set[tuple[str, str]],
    shadow: str = "",
    **kind: Any,
) -> int:
    """Kill the agent at one moment after another until an update needs no more; count kills."""
    bundles = device.folder.parent / "bundles"
    offer = fleet.offer(make_bundle(bundles, "1.0.0"))
    device.start(killed_in(first))
    wait_for(lambda: offer.closed)
    runs = offer.bundle.sha256
    for moment in range(first, 60):
        bundle = make_bundle(bundles, f"2.{moment}.0", shift=moment / 10, **kind)
        offer = fleet.offer(bundle, shadow=shadow)
        killed = ends_by_itself_or_reports(device, offer)
        if killed:
            device.start(killed_in(moment + 1))
        runs = check(device, offer, runs, outcomes)
        if not killed:
            return moment - first
    raise AssertionError("every moment had a kill: the sweep is too short")


def test_an_agent_killed_at_any_write_of_a_good_update_serves_and_reports_once(
    device: Device, fleet: Fleet
) -> None:
    outcomes = {("committed", ""), ("unexercised", ""), ("reverted", "interrupted")}
    assert sweep(device, fleet, first=1, outcomes=outcomes) == 20


def test_an_agent_killed_while_going_back_serves_the_old_model_and_reports_once(
    device: Device, fleet: Fleet
) -> None:
    patient = QUICK.replace("duration_s = 0.3", "duration_s = 3.0")  # it ends with the first NaN
    device.configure(patient.format(folder=device.folder.parent / "samples", rate_hz=50))
    outcomes = {("reverted", "nan_outputs"), ("reverted", "interrupted")}
    assert sweep(device, fleet, first=11, outcomes=outcomes, nan=True) == 10


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_an_agent_killed_at_any_time_serves_and_reports_once(
    device: Device, fleet: Fleet, tmp_path: Path
) -> None:
    """A hundred updates, each with a kill at a random time."""
    rng = random.Random(20261121)
    outcomes = {("committed", ""), ("unexercised", ""), ("reverted", "interrupted")}
    first = fleet.offer(make_bundle(tmp_path / "bundles", "1.0.0"))
    device.start()
    wait_for(lambda: first.closed)
    runs = first.bundle.sha256
    for number in range(100):
        offer = fleet.offer(make_bundle(tmp_path / "bundles", f"2.{number}.0", shift=number / 50))
        time.sleep(rng.uniform(0.0, 3.0))
        device.kill()
        device.start()
        runs = check(device, offer, runs, outcomes)
