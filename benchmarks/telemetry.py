"""How many telemetry windows a second does the server store, each acknowledged after its commit?

Ours: the real server, 64 devices at 64 connections, one window a request as one-minute agents send
them, and batches of 100; on SQLite and on PostgreSQL.
Baselines, in turns in the same run: uvicorn with an ASGI function that reads the request and stores
nothing, and the same window stored with one commit each by the store itself, without HTTP.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.fleets import DIGEST, Fleet, device_id, now, running_fleet
from benchmarks.load import FIRST, MARK, Target, bare_app, load
from edgekit import codec
from edgekit.bench import Result, paired_ratio, summarize
from edgekit.errors import NetworkError
from edgekit.protocol import TelemetryBatch
from edgekit.telemetry import LogHistogram, Window
from fleet_server.services.config import load_config
from fleet_server.services.telemetry import TelemetryService
from fleet_server.store.database import SqlDatabase
from tests.integration.postgres import fresh_database, running_postgres

QUESTION = "telemetry windows a second, acknowledged after commit"
CONNECTIONS = 64
OURS, BARE, SINGLE = "fleet server", "bare ASGI app, stores nothing", "one commit each, no HTTP"


def run(short: bool) -> list[Result]:
    """Measure in turns; the short form takes about a minute."""
    rounds, seconds = (5, 1.5) if short else (20, 3.0)
    results = []
    for name, database in (("SQLite", _sqlite), ("PostgreSQL", _postgres)):
        for size in (1, 100):
            with database() as url, tempfile.TemporaryDirectory() as folder:
                results += _compare(
                    name, url, Path(folder), size=size, rounds=rounds, seconds=seconds
                )
    return results


@contextmanager
def _sqlite() -> Iterator[str]:
    yield ""


@contextmanager
def _postgres() -> Iterator[str]:
    with running_postgres() as server, fresh_database(server.url) as url:
        yield url


def _compare(
    name: str, url: str, folder: Path, *, size: int, rounds: int, seconds: float
) -> list[Result]:
    with running_fleet(folder, devices=CONNECTIONS, database=url) as fleet:
        requests = telemetry_requests(fleet, CONNECTIONS, size)
        with bare_app(b'{"accepted":[1],"max_windows":500,"refused":[]}') as port:
            targets = {
                OURS: Target(ports=fleet.ports, requests=requests),
                BARE: Target(ports=(port,), requests=requests),
            }
            samples = _in_turns(targets, fleet, size, rounds, seconds)
    condition = f"{name}, {size} windows a request" if size > 1 else f"{name}, one window a request"
    return _results(condition, samples)


def _in_turns(
    targets: dict[str, Target], fleet: Fleet, size: int, rounds: int, seconds: float
) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {name: [] for name in (BARE, SINGLE, OURS)}
    first = FIRST
    for index in range(-1, rounds):
        for name in list(targets) if index % 2 else list(reversed(targets)):
            done = load(replace(targets[name], first=first), seconds)
            if done.refused:
                raise NetworkError(f"{done.refused} requests were refused", where=name)
            first += done.answers + CONNECTIONS
            if index >= 0:
                samples[name].append(done.rate * size)
        if index >= 0:
            samples[SINGLE].append(_single_commits(fleet, seconds, first=first))
            first += 1_000_000
    return samples


def _single_commits(fleet: Fleet, seconds: float, *, first: int) -> float:
    """Store one window a commit through the store itself."""
    database = SqlDatabase.open(load_config(fleet.data, {}).database_url)
    telemetry = TelemetryService(database)
    start, count = time.perf_counter(), 0
    while time.perf_counter() < start + seconds / 3:
        batch = TelemetryBatch(
            spool_id="single", boot_id="b", sent_mono_s=2.0, windows=(window(first + count),)
        )
        telemetry.store(device_id(0), batch, received_at=now())
        count += 1
    elapsed = time.perf_counter() - start
    database.close()
    return count / elapsed


def telemetry_requests(fleet: Fleet, devices: int, size: int) -> tuple[str, ...]:
    """Return a request of each device with `size` windows."""
    return tuple(_request(fleet, index, size) for index in range(devices))


def _request(fleet: Fleet, index: int, size: int) -> str:
    """Return a device's request; its numbers are made new for each one that is sent."""
    batch = TelemetryBatch(
        spool_id=f"spool{index}",
        boot_id="b",
        sent_mono_s=2.0,
        windows=tuple(window(10**12 + number) for number in range(size)),
    )
    body = codec.encode(batch).decode()
    for number in range(size):
        body = body.replace(f'"seq":{10**12 + number}', f'"seq":{MARK.decode()}{number:03}')
    return fleet.request(index, method="POST", path="/telemetry", body=body)


def window(seq: int) -> Window:
    """Return a window of an ordinary minute."""
    latencies = np.random.default_rng(1).lognormal(2.0, 0.2, 60).tolist()
    return Window(
        seq=seq,
        model="digits",
        digest=DIGEST,
        boot_id="b",
        ended_mono_s=1.0,
        duration_s=60.0,
        inferences=600,
        latency_ms=LogHistogram.of(latencies),
        confidence=tuple(range(20)),
        classes={str(digit): 60 for digit in range(10)},
        rss_mb=120.0,
    )


def _results(condition: str, samples: dict[str, list[float]]) -> list[Result]:
    found = []
    for name in (BARE, SINGLE, OURS):
        values = samples[name]
        ratio = None
        if name != BARE:
            ratio = paired_ratio(values, samples[BARE], rng=np.random.default_rng(2))
        found.append(
            Result(
                question=QUESTION,
                candidate=name,
                condition=condition,
                summary=summarize(values, unit="1/s"),
                samples=tuple(values),
                ratio=ratio,
            )
        )
    return found
