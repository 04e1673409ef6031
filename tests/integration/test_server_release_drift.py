"""A release leaves what it was proven on: from the signed bundle to the alarm and its end.

Server, bundle, telemetry over HTTP and database are real; the devices that send are simulated.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from edgekit import codec
from edgekit.bundle import Bundle
from edgekit.client.publishing import publish
from edgekit.device import Requirements
from edgekit.drift import DriftReference, Features, count, reference_of
from fleet_server.domain.drift import hour_of
from fleet_server.domain.goal import ReleaseState
from fleet_server.domain.release_drift import ReleaseHour
from fleet_server.services.drift import DriftService
from fleet_server.services.events import EventService
from fleet_server.services.fleet_plan import PlanCache
from fleet_server.services.records.drift import ReferenceRecord, ReleaseHourRecord
from fleet_server.services.records.releases import ReleaseRecord, VariantRecord
from fleet_server.services.release_drift import RELEASE_DRIFT
from fleet_server.store.database import SqlDatabase
from tests.integration import agent_models
from tests.integration.server_fleet import Engineer, Server, SimulatedDevice, now

pytestmark = pytest.mark.integration

HOUR = timedelta(hours=1)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def seen(rng: np.random.Generator, middle: float, samples: int) -> list[Features]:
    return [Features(numbers={"mean": float(v)}) for v in rng.normal(middle, 0.1, samples)]


@pytest.fixture(scope="module")
def reference() -> DriftReference:
    return reference_of(seen(np.random.default_rng(1), 0.5, 400))


@pytest.fixture
def bundle(reference: DriftReference, tmp_path: Path) -> Bundle:
    return agent_models.make_bundle(tmp_path / "b", "1.0.0", drift=codec.encode(reference))


def sent(server: Server, bundle: Bundle, reference: DriftReference, *middles: float) -> datetime:
    """Let three devices send 14 hours of windows; returns the beginning of the latest whole one."""
    rng = np.random.default_rng(2)
    latest = hour_of(now()) - HOUR
    for number, middle in enumerate(middles):
        device = SimulatedDevice.enrol(server, f"cam-{number}")
        device.running = {"digits": bundle.sha256}
        windows = []
        for back in range(14):
            ago_s = (now() - (latest - back * HOUR + HOUR / 2)).total_seconds()
            made = device.window("digits")
            counts = count(reference, seen(rng, middle, 60)).numbers
            ended = made.ended_mono_s - ago_s
            windows.append(replace(made, drift=counts, ended_mono_s=ended))
        device.send(windows)
    return latest


def judged(server: Server, latest: datetime) -> tuple[EventService, DriftService, SqlDatabase]:
    """Close the 14 hours on the server's own database, as its scheduler does hour by hour."""
    database = SqlDatabase.open(f"sqlite:///{server.data / 'fleet.sqlite'}")
    events = EventService(database)
    drift = DriftService(database, PlanCache(), events)
    for back in range(13, 0, -1):
        drift.close(latest - back * HOUR, now=latest)
    drift.tick(now=latest + HOUR + timedelta(minutes=11))
    return events, drift, database


@pytest.mark.parametrize(
    ("middles", "alarms"), [((0.5, 0.5, 0.5), 0), ((0.8, 0.8, 0.8), 1)], ids=["alike", "left"]
)
def test_what_a_release_meets_is_compared_with_what_its_bundle_carries(
    middles: tuple[float, ...],
    alarms: int,
    bundle: Bundle,
    reference: DriftReference,
    tmp_path: Path,
) -> None:
    with Server(tmp_path / "server") as server:
        keys = Engineer.create(server, tmp_path).keystore
        wanted = {"model": "digits", "version": "1.0.0", "bundles": [bundle.path]}
        with server.client() as client:
            publish(client, **wanted, keystore=keys, now=now())  # type: ignore[arg-type]
        latest = sent(server, bundle, reference, *middles)
        server.stop()
        events, drift, database = judged(server, latest)
        raised = [alarm for alarm in events.alarms() if alarm.kind == RELEASE_DRIFT]
        assert len(raised) == alarms
        if raised:
            (alarm,) = raised
            assert (alarm.device, alarm.version, alarm.digest) == ("", "1.0.0", bundle.sha256)
            assert alarm.text.startswith(
                "digits 1.0.0 meets what it was not proven on, over 42 hours of its devices:"
                " mean stability index "
            )
            (view,) = [v for v in drift.alarms("digits", now=latest + HOUR) if not v.device]
            assert view.statistics == ("mean",)
            a_day_later = latest + timedelta(hours=25, minutes=11)
            drift.tick(now=a_day_later)  # nobody sent anything since: nothing is left to say
            assert [a for a in events.alarms() if a.kind == RELEASE_DRIFT] == []
            assert events.newest(before=None, device="", limit=1)[0].kind == "alarm_cleared"
        database.close()


def released(version: str, digest: str) -> ReleaseRecord:
    variant = VariantRecord(
        variant="v",
        digest=digest,
        sha1="",
        md5="",
        size=1,
        target=version,
        requires=Requirements(runtimes=()),
    )
    return ReleaseRecord(
        model="digits",
        version=version,
        state=ReleaseState.LISTED,
        published_at=NOON,
        variants=(variant,),
    )


def test_references_and_hours_come_back_as_they_went(
    database: SqlDatabase, reference: DriftReference
) -> None:
    records = {
        d * 64: ReferenceRecord(digest=d * 64, model="digits", reference=reference) for d in "ab"
    }
    hours = [
        ReleaseHourRecord(
            digest="a" * 64,
            hour=ReleaseHour(at=NOON + n * HOUR, hours=n, numbers={"x": (0.5, 1.5)}),
        )
        for n in range(3)
    ]
    with database.write() as tables:
        for version, record in zip(("1", "2"), records.values(), strict=True):
            tables.releases.add(released(version, record.digest))
            tables.release_drift.put_reference(record)
            tables.release_drift.put_reference(replace(record, model="again"))
        tables.release_drift.put([*hours, hours[0]])
        tables.release_drift.forget_before(NOON + HOUR)
    with database.write() as tables:
        assert tables.release_drift.references() == records
        assert tables.release_drift.since(NOON) == hours[1:]
        assert tables.release_drift.since(NOON + 2 * HOUR) == hours[2:]
        tables.releases.set_state("digits", "2", ReleaseState.REVOKED)
        assert set(tables.release_drift.references()) == {"a" * 64}
