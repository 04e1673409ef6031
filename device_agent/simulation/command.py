"""`edgekit simulate`: a fleet of devices against a real server, from this machine."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
import time
from pathlib import Path

from device_agent.enrolment import read_enrolment
from device_agent.simulation.device import Behaviour
from device_agent.simulation.fleet import Fleet, Report
from edgekit import codec
from edgekit.errors import UsageError


def simulate(  # noqa: PLR0917 (each becomes an option)
    enrolment: Path,
    devices: int = 100,
    seconds: float = 60.0,
    slow: str = "",
    crash: str = "",
    probation: float = 1.0,
    prefix: str = "sim",
) -> None:
    """Simulate a fleet: real protocol, no inference. Prints what came of it as JSON.

    Devices enrol with the file of `edgekit device enrolment --uses N`, then poll, download and
    report for so many seconds, or until SIGTERM. Say how releases do with --slow 1.2.0=3 (so many
    times slower) and --crash 1.3.0 (fails on probation); several are separated by commas.
    """
    behave = Behaviour(
        slower=_factors(slow),
        crashing=frozenset(part for part in crash.split(",") if part),
        probation_s=probation,
    )
    report = asyncio.run(
        _simulate(enrolment, behave, devices=devices, seconds=seconds, prefix=prefix)
    )
    sys.stdout.write(codec.encode(report).decode() + "\n")


async def _simulate(
    enrolment: Path, behave: Behaviour, *, devices: int, seconds: float, prefix: str
) -> Report:
    rng = random.Random()  # noqa: S311 (spreads devices in time, guards nothing)
    fleet = Fleet(read_enrolment(enrolment), behave, rng=rng, clock=time.monotonic)
    await fleet.enrol(devices, prefix=prefix)
    sys.stderr.write(f"{devices} devices are enrolled\n")
    sys.stderr.flush()
    stop = asyncio.Event()
    for kind in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(kind, stop.set)
    report = await fleet.run(seconds, stop=stop)
    report.cpu_s = time.process_time()
    return report


def _factors(text: str) -> dict[str, float]:
    found = {}
    for part in filter(None, text.split(",")):
        version, _, factor = part.partition("=")
        try:
            found[version] = float(factor)
        except ValueError as error:
            raise UsageError(f"{part!r} is not like 1.2.0=3", where="--slow") from error
    return found
