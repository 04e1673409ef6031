"""How many polls a second does the fleet server answer, over a bare ASGI app and over gooseBit?

Ours: the real server, one process on SQLite, with 10,000 registered devices that have nothing to
do, the case of nearly every poll; the same while telemetry is written; and two processes on
PostgreSQL. Baselines, in turns in the same run: uvicorn with an ASGI function that sends the same
bytes and does nothing else, which nobody who answers through uvicorn can beat; and gooseBit with as
many devices, where EDGEKIT_GOOSEBIT names a python that has it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import urllib3

from benchmarks.fleets import Fleet, device_id, running_fleet, token
from benchmarks.goosebit import installed, running_goosebit
from benchmarks.load import Load, Target, bare_app, load
from benchmarks.telemetry import telemetry_requests
from edgekit import codec
from edgekit.bench import Result, paired_ratio, summarize
from edgekit.errors import NetworkError
from edgekit.protocol import TENANT
from tests.integration.postgres import fresh_database, running_postgres

QUESTION = "polls a second"
DEVICES, CONNECTIONS = 10_000, 64
BARE, OURS, PEER = "bare ASGI app", "fleet server", "gooseBit 0.2.12"
BUSY, TWO = "fleet server, telemetry beside", "fleet server, PostgreSQL, two processes"


def run(short: bool) -> list[Result]:
    """Measure all in turns; the short form takes about two minutes."""
    rounds, seconds = (5, 1.5) if short else (20, 3.0)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        one = stack.enter_context(running_fleet(folder / "one", devices=DEVICES))
        server = stack.enter_context(running_postgres())
        url = stack.enter_context(fresh_database(server.url))
        two = stack.enter_context(
            running_fleet(folder / "two", devices=DEVICES, database=url, processes=2)
        )
        bare = stack.enter_context(bare_app(_answer(one)))
        polls = tuple(one.request(index) for index in range(DEVICES))
        targets = {
            BARE: Target(ports=(bare,), requests=polls, connections=CONNECTIONS),
            OURS: Target(ports=one.ports, requests=polls, connections=CONNECTIONS),
            BUSY: Target(ports=one.ports, requests=polls, connections=CONNECTIONS),
            TWO: Target(ports=two.ports, requests=polls, connections=CONNECTIONS),
        }
        if (python := installed()) is not None:
            port, theirs = stack.enter_context(running_goosebit(python, folder, devices=DEVICES))
            targets[PEER] = Target(ports=(port,), requests=tuple(theirs), connections=CONNECTIONS)
        samples = _in_turns(targets, one, rounds=rounds, seconds=seconds)
    return [_result(name, samples) for name in targets]


def _in_turns(
    targets: dict[str, Target], fleet: Fleet, *, rounds: int, seconds: float
) -> dict[str, list[Load]]:
    samples: dict[str, list[Load]] = {name: [] for name in targets}
    for name in (OURS, TWO):
        load(targets[name], 1.0, least=2 * DEVICES)  # every device polls once
    for index in range(rounds):
        for name in list(targets) if index % 2 == 0 else list(reversed(targets)):
            with _telemetry(fleet, seconds + 1, first=index) if name == BUSY else ExitStack():
                done = load(targets[name], seconds)
            if done.refused:
                raise NetworkError(f"{done.refused} polls were refused", where=name)
            samples[name].append(done)
    return samples


@contextmanager
def _telemetry(fleet: Fleet, seconds: float, *, first: int) -> Iterator[None]:
    """Send single windows at 16 connections beside."""
    target = Target(
        ports=fleet.ports,
        requests=telemetry_requests(fleet, 16, 1),
        connections=16,
        first=100_000_000 + first * 1_000_000,
    )
    command = [sys.executable, "-m", "benchmarks.load", str(seconds), "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as beside:
        assert beside.stdin is not None
        beside.stdin.write(codec.encode(target))
        beside.stdin.close()
        yield


def _result(name: str, samples: dict[str, list[Load]]) -> Result:
    rates = [done.rate for done in samples[name]]
    baseline = [done.rate for done in samples[BARE]]
    p99_ms = float(np.median([done.p99_ms for done in samples[name]]))
    ratio = None
    if name != BARE:
        ratio = paired_ratio(rates, baseline, rng=np.random.default_rng(2))
    return Result(
        question=QUESTION,
        candidate=name,
        condition=f"{DEVICES} devices, {CONNECTIONS} connections",
        summary=summarize(rates, unit="1/s"),
        samples=tuple(rates),
        ratio=ratio,
        numbers={"p99_ms": p99_ms},
    )


def _answer(fleet: Fleet) -> bytes:
    """Return the body of a poll's answer."""
    answer = urllib3.request(
        "GET",
        f"http://127.0.0.1:{fleet.ports[0]}/{TENANT}/controller/v1/{device_id(0)}",
        headers={"Authorization": f"TargetToken {token(0)}"},
    )
    if answer.status != 200:
        raise NetworkError(f"answers a poll with {answer.status}", where="fleet server")
    return answer.data
