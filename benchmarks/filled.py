"""A database with as many registered devices as one likes, written by bulk SQL in a minute.

One device and one window go in as the server writes them; the others are copies of their rows with
names, cells, sites and tokens of their own. Simulated rows, then: no device is behind them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from benchmarks.fleets import DIGEST, device_id, token
from benchmarks.telemetry import window
from edgekit import codec
from edgekit.device import DeviceProfile, Requirements, RuntimeRange
from edgekit.protocol import TelemetryBatch
from edgekit.trust.online import OnlineKeys
from fleet_server.domain.assignment import cell_of
from fleet_server.domain.goal import ReleaseState
from fleet_server.services.assembly import Services, make_services
from fleet_server.services.config import Settings
from fleet_server.services.records.devices import DeviceRecord
from fleet_server.services.records.releases import ReleaseRecord, VariantRecord
from fleet_server.services.tokens import digest_of
from fleet_server.services.trust import TrustService
from fleet_server.store.blobs import FolderBlobs
from fleet_server.store.database import SqlDatabase
from fleet_server.store.deltas import FolderDeltas
from fleet_server.store.posting import HttpPoster

SITES = 50


def filled(folder: Path, size: int, *, at: datetime) -> SqlDatabase:
    """Return a database of so many devices that polled now, each with a window of this hour."""
    database = SqlDatabase.open(f"sqlite:///{folder / 'fleet.sqlite'}")
    database.migrate()
    with database.write() as tables:
        tables.devices.put(_first(at))
        for version, digest in (("1.0.0", DIGEST), ("1.1.0", "cd" * 32)):
            tables.releases.add(_release(version, digest, at=at))
        tables.changes.record(None)
    services = services_of(folder, database)
    batch = TelemetryBatch(spool_id="s", boot_id="b", sent_mono_s=2.0, windows=(window(1),))
    services.telemetry.store(device_id(0), batch, received_at=at - timedelta(minutes=1))
    with database.bulk() as connection:
        stored = dict(connection.exec_driver_sql("SELECT * FROM devices").mappings().one())
        names = list(stored)
        statement = f"INSERT INTO devices VALUES ({', '.join('?' * len(names))})"
        for begin in range(1, size, 10_000):
            numbers = range(begin, min(size, begin + 10_000))
            rows = [tuple((stored | _own(number)).values()) for number in numbers]
            connection.exec_driver_sql(statement, rows)
        columns = connection.exec_driver_sql("SELECT * FROM windows LIMIT 0").keys()
        rest = ", ".join(f"w.{name}" for name in columns if name != "device")
        connection.exec_driver_sql(
            f"INSERT INTO windows SELECT d.id, {rest} FROM devices d, windows w"
            " WHERE d.id <> w.device"
        )
    return database


def services_of(folder: Path, database: SqlDatabase) -> Services:
    """Return the server's services over a database."""
    trust = TrustService(database, OnlineKeys.generate())
    return make_services(
        database,
        FolderBlobs(folder / "blobs"),
        trust,
        Settings(),
        deltas=FolderDeltas(folder / "deltas"),
        poster=HttpPoster(),
    )


def _first(at: datetime) -> DeviceRecord:
    return DeviceRecord(
        id=device_id(0),
        token_sha256=digest_of(token(0)),
        enrolled_by="0" * 64,
        enrolled_at=at,
        last_seen_at=at,
        labels={"site": "s0"},
        profile=DeviceProfile(runtimes={"onnxruntime": "1.31.1"}, arch="x86_64"),
        running={"digits": DIGEST},
        speaks_running=True,
        attributes_wanted=False,
    )


def _own(number: int) -> dict[str, object]:
    """Return the columns in which a device differs from the first."""
    name = device_id(number)
    return {
        "id": name,
        "token_sha256": digest_of(token(number)),
        "labels": codec.encode({"site": f"s{number % SITES}"}).decode(),
        "cell": cell_of(name),
    }


def _release(version: str, digest: str, *, at: datetime) -> ReleaseRecord:
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
        published_at=at,
        variants=(variant,),
    )
