"""What do a poll, a window, a gate's evaluation and a rollout's start cost as the fleet grows?

The real services over a real SQLite file with 1,000 to 1,000,000 registered devices (simulated
rows), without HTTP: a poll that the database has to answer, one window stored, a scheduler's round
with one open rollout of ten canaries that reads its sample anew, the start of a rollout until its
first stage is open, and a page of ten of the devices of one site in fifty. The baseline of each
is the smallest fleet; beside it stands the exponent of time over devices, 0 for flat. Last: what a
device's day takes on the disk, as windows of a minute and after they were rolled up.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.filled import filled, services_of
from benchmarks.fleets import DIGEST, device_id, now
from benchmarks.growth import exponent_of
from benchmarks.telemetry import window
from edgekit.bench import Result, paired_ratio, summarize
from edgekit.client.wire.rollouts import NewRollout
from edgekit.protocol import TelemetryBatch
from fleet_server.domain.selector import parse_selector
from fleet_server.services.assembly import Services
from fleet_server.store.database import SqlDatabase

QUESTION = "cost as the fleet grows"
POLL, WINDOW, GATE = "poll by database", "window stored", "scheduler's round"
START, PAGE = "start of a rollout", "page of the list"
SIZES = (1000, 10_000, 100_000, 1_000_000)
DAYS, ROLLED_DAYS = 5, 500
_MINUTES = 1440


def run(short: bool) -> list[Result]:
    """Measure fleet by fleet; the short form takes two minutes, most of them to write rows."""
    samples: dict[str, dict[int, list[float]]] = defaultdict(dict)
    for size in SIZES:
        for name, values in _measured(size, rounds=8 if short else 40).items():
            samples[name][size] = values
    results = [
        _result(name, size, values, by_size[SIZES[0]])
        for name, by_size in samples.items()
        for size, values in by_size.items()
    ]
    for name, by_size in samples.items():
        results.append(
            exponent_of(by_size, candidate=f"exponent of a {name}", what="", unit="devices")
        )
    return results + _disk()


def _result(name: str, size: int, values: list[float], base: list[float]) -> Result:
    ratio = None
    if values is not base:
        ratio = paired_ratio(values, base, rng=np.random.default_rng(2))
    return Result(
        question=QUESTION,
        candidate=name,
        condition=f"{size:,} devices",
        summary=summarize(values, unit="ms"),
        samples=tuple(values),
        ratio=ratio,
    )


def _measured(size: int, *, rounds: int) -> dict[str, list[float]]:
    started = now()
    with tempfile.TemporaryDirectory() as folder:
        database = filled(Path(folder), size, at=started)
        try:
            return _costs(services_of(Path(folder), database), size, started, rounds=rounds)
        finally:
            database.close()


def _costs(
    services: Services, size: int, started: datetime, *, rounds: int
) -> dict[str, list[float]]:
    rng = np.random.default_rng(size)
    names = [device_id(int(index)) for index in rng.integers(0, size, 220)]
    running, one_site = {"digits": DIGEST}, parse_selector("site=s7")
    starts = _times(1 + rounds, lambda _: _start(services, started))
    for canary in _start(services, started, stays=True):
        services.checkin.poll(canary, running, now=started)
    return {
        START: starts[1:],
        POLL: _times(220, lambda n: services.checkin.poll(names[n], running, now=started))[20:],
        WINDOW: _times(120, lambda n: _store(services, names[n], 2 + n, at=started))[20:],
        GATE: _times(1 + rounds, lambda n: services.rollouts.tick(now=started + _after(n)))[1:],
        PAGE: _times(
            2 + rounds,
            lambda _: services.fleet.page(selector=one_site, after=device_id(size // 4), limit=10),
        )[2:],
    }


def _after(number: int) -> timedelta:
    """Return times so far apart that no round finds the sample of the one before it fresh."""
    return timedelta(seconds=10 * (number + 1))


def _start(services: Services, at: datetime, *, stays: bool = False) -> frozenset[str]:
    """Start a rollout and open its first stage; returns its ten devices. It is aborted at once."""
    wanted = NewRollout(
        model="digits",
        version="1.1.0",
        policy={
            "stages": [
                {"devices": 10, "bake_s": 3600, "timeout_s": 7200, "min_windows": 2},
                {"percent": 100, "bake_s": 3600, "timeout_s": 7200, "min_windows": 2},
            ],
            "gate": {"mode": "must_not_fail"},
        },
    )
    made = services.rollouts.start(wanted, by="bench", now=at).rollout.id
    for _ in ("it runs", "its stage is open"):
        rollout = services.rollouts.step(made, now=at).rollout
    if not stays:
        services.rollouts.steer(made, "abort", by="bench", now=at)
    return rollout.chosen


def _store(services: Services, name: str, seq: int, *, at: datetime) -> None:
    batch = TelemetryBatch(spool_id="s", boot_id="b", sent_mono_s=2.0, windows=(window(seq),))
    services.telemetry.store(name, batch, received_at=at)


def _times(count: int, work: Callable[[int], object]) -> list[float]:
    times = []
    for index in range(count):
        begun = time.perf_counter()
        work(index)
        times.append(1000 * (time.perf_counter() - begun))
    return times


def _disk() -> list[Result]:
    """Return what days of one device add to the file, as they come and once rolled up."""
    first = datetime(2026, 1, 1, tzinfo=UTC)
    with tempfile.TemporaryDirectory() as folder:
        database = filled(Path(folder), 1, at=first - timedelta(days=1))
        services = services_of(Path(folder), database)
        file, numbers = Path(folder) / "fleet.sqlite", itertools.count(2)
        sizes = [_bytes(file, database)]
        for day in range(DAYS):
            for hour in range(24):
                _store_hour(services, numbers, at=first + timedelta(days=day, hours=hour))
            sizes.append(_bytes(file, database))
        database.roll_up(before=first + timedelta(days=DAYS))
        rolled = [_bytes(file, database, packed=True)]
        for day in range(DAYS, DAYS + ROLLED_DAYS):
            _store(services, device_id(0), next(numbers), at=first + timedelta(days=day))
        database.roll_up(before=first + timedelta(days=DAYS + ROLLED_DAYS))
        rolled.append(_bytes(file, database, packed=True))
        database.close()
    daily = [(after - before) / 1024 for before, after in itertools.pairwise(sizes)]
    once = (rolled[1] - rolled[0]) / 1024 / ROLLED_DAYS
    return [_disk_row("windows of a minute", daily), _disk_row("rolled up", [once])]


def _disk_row(name: str, values: list[float]) -> Result:
    return Result(
        question="disk of a device and day",
        candidate=name,
        condition="SQLite",
        summary=summarize(values, unit="KiB"),
    )


def _store_hour(services: Services, numbers: itertools.count[int], *, at: datetime) -> None:
    windows = tuple(window(next(numbers)) for _ in range(_MINUTES // 24))
    batch = TelemetryBatch(spool_id="s", boot_id="b", sent_mono_s=2.0, windows=windows)
    services.telemetry.store(device_id(0), batch, received_at=at)


def _bytes(file: Path, database: SqlDatabase, *, packed: bool = False) -> int:
    with database.engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        if packed:
            connection.exec_driver_sql("VACUUM")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("BEGIN")
    return file.stat().st_size
