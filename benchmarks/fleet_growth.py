"""What does a poll, a gate's evaluation and a rollout's start cost as the fleet grows?

The real services over a real SQLite file with 1,000 to 100,000 registered devices (the long form: a
million), without HTTP: a poll that the database has to answer, a scheduler's round with one open
rollout of ten canaries, and starting that rollout. The baseline of each is the smallest fleet: flat
growth is a ratio near 1. Beside it: what a device's day of one-minute windows takes on the disk.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fleets import DIGEST, device_id, now, token
from edgekit.bench import Result, paired_ratio, summarize
from edgekit.client.wire.rollouts import NewRollout
from edgekit.device import DeviceProfile, Requirements, RuntimeRange
from edgekit.protocol import TelemetryBatch
from edgekit.trust.online import OnlineKeys
from fleet_server.domain.goal import ReleaseState
from fleet_server.services.access import digest_of
from fleet_server.services.assembly import Services, make_services
from fleet_server.services.config import Settings
from fleet_server.services.records.devices import DeviceRecord
from fleet_server.services.records.releases import ReleaseRecord, VariantRecord
from fleet_server.services.trust import TrustService
from fleet_server.store import schema
from fleet_server.store.blobs import FolderBlobs
from fleet_server.store.database import SqlDatabase
from fleet_server.store.deltas import FolderDeltas
from fleet_server.store.devices import device_row
from fleet_server.store.dialects import KIND, Kind, insert_or_ignore
from fleet_server.store.posting import HttpPoster

QUESTION = "cost as the fleet grows"
POLL, GATE, START = "poll by database", "scheduler's round", "start of a rollout"
_MANY = 5000


def run(short: bool) -> list[Result]:
    """Measure fleet by fleet; the short form takes about a minute."""
    sizes = [1000, 10_000, 100_000] if short else [1000, 10_000, 100_000, 1_000_000]
    results: list[Result] = []
    first: dict[str, list[float]] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            samples, day_kb = _measure(Path(folder), size)
        for name, values in samples.items():
            base = first.setdefault(name, values)
            ratio = None
            if base is not values:
                ratio = paired_ratio(values, base, rng=np.random.default_rng(2))
            results.append(
                Result(
                    question=QUESTION,
                    candidate=name,
                    condition=f"{size} devices, {day_kb:.0f} kB a device and day",
                    summary=summarize(values, unit="ms"),
                    samples=tuple(values),
                    ratio=ratio,
                )
            )
    return results


def _measure(folder: Path, size: int) -> tuple[dict[str, list[float]], float]:
    database = SqlDatabase.open(f"sqlite:///{folder / 'fleet.sqlite'}")
    database.migrate()
    _fill(database, size)
    services = _services(folder, database)
    rng = np.random.default_rng(size)
    polled = [device_id(int(index)) for index in rng.integers(0, size, 220)]
    started = now()
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
    starts = _times(1, lambda _: services.rollouts.start(wanted, by="bench", now=started))
    services.rollouts.tick(now=started)
    polls = _times(
        len(polled),
        lambda n: services.checkin.poll(polled[n], {"digits": DIGEST}, now=started),
    )
    rounds = _times(8, lambda n: services.rollouts.tick(now=started + timedelta(seconds=n + 1)))
    day_kb = _day_kb(folder, database, services)
    database.close()
    return {POLL: polls[20:], GATE: rounds[1:], START: starts * 5}, day_kb


def _times(count: int, work: Callable[[int], Any]) -> list[float]:
    times = []
    for index in range(count):
        begun = time.perf_counter()
        work(index)
        times.append(1000 * (time.perf_counter() - begun))
    return times


def _day_kb(folder: Path, database: SqlDatabase, services: Services) -> float:
    """Return what a day of one device's windows adds to the file."""
    from benchmarks.telemetry import window

    before = _bytes(folder, database)
    for start in range(0, 1440, 480):
        windows = tuple(window(start + number + 1) for number in range(480))
        batch = TelemetryBatch(spool_id="s", boot_id="b", sent_mono_s=2.0, windows=windows)
        services.telemetry.store(device_id(0), batch, received_at=now())
    return (_bytes(folder, database) - before) / 1024


def _bytes(folder: Path, database: SqlDatabase) -> int:
    with database.engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("BEGIN")
    return (folder / "fleet.sqlite").stat().st_size


def _fill(database: SqlDatabase, size: int) -> None:
    profile = DeviceProfile(runtimes={"onnxruntime": "1.31.1"}, arch="x86_64")
    at = now()
    with database.engine.connect() as opened:
        connection = opened.execution_options(**{KIND: Kind.WRITE})
        with connection.begin():
            for begin in range(0, size, _MANY):
                rows = []
                for index in range(begin, min(size, begin + _MANY)):
                    record = DeviceRecord(
                        id=device_id(index),
                        token_sha256=digest_of(token(index)),
                        enrolled_by="0" * 64,
                        enrolled_at=at,
                        last_seen_at=at,
                        profile=profile,
                        running={"digits": DIGEST},
                        speaks_running=True,
                        attributes_wanted=False,
                    )
                    rows.append(device_row(record))
                insert_or_ignore(connection, schema.devices, rows)
    with database.write() as tables:
        for version, digest in (("1.0.0", DIGEST), ("1.1.0", "cd" * 32)):
            tables.releases.add(_release(version, digest))
        tables.changes.record(None)


def _release(version: str, digest: str) -> ReleaseRecord:
    variant = VariantRecord(
        variant="onnx-fp32",
        digest=digest,
        sha1="0" * 40,
        md5="0" * 32,
        size=1000,
        target=f"models/digits/{version}/x",
        requires=Requirements(runtimes=(RuntimeRange(name="onnxruntime"),)),
    )
    return ReleaseRecord(
        model="digits",
        version=version,
        state=ReleaseState.LISTED,
        published_at=now(),
        variants=(variant,),
    )


def _services(folder: Path, database: SqlDatabase) -> Services:
    trust = TrustService(database, OnlineKeys.generate())
    return make_services(
        database,
        FolderBlobs(folder / "blobs"),
        trust,
        Settings(),
        deltas=FolderDeltas(folder / "deltas"),
        poster=HttpPoster(),
    )
