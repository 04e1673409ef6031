"""What the field tells: labels that come later, and drift, on a real server and a real database."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edgekit.device import Requirements
from edgekit.telemetry import LogHistogram, Window
from fleet_server.domain.goal import ReleaseState
from fleet_server.services.drift import DriftService, drifting
from fleet_server.services.events import EventService
from fleet_server.services.fleet_plan import PlanCache
from fleet_server.services.records.devices import DeviceRecord
from fleet_server.services.records.releases import ReleaseRecord, VariantRecord
from fleet_server.services.records.telemetry import WindowRecord
from fleet_server.store.database import SqlDatabase
from tests.integration.server_fleet import (
    Engineer,
    Server,
    SimulatedDevice,
    drive,
    everybody,
    quick,
    until,
)

pytestmark = pytest.mark.integration
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "server") as server:
        yield server


def test_labels_that_come_later_give_accuracy_and_stop_a_rollout(
    server: Server, tmp_path: Path
) -> None:
    engineer = Engineer.create(server, tmp_path)
    devices = [SimulatedDevice.enrol(server, f"cam-{i}") for i in range(2)]
    engineer.publish("1.0.0")
    drive(server, devices, engineer.roll_out("1.0.0", **everybody()).id)
    for device in devices:
        answers = {f"{device.name}-{n}": "cat" if n % 2 else "dog" for n in range(50)}
        window = replace(device.window("digits"), answers=answers)
        device.send([window])
        device.send([window])  # again: nothing is counted twice
    with server.client() as client:
        labels = {f"cam-{d}-{n}": "cat" for d in range(2) for n in range(50)}
        taken = client.add_labels("digits", {**labels, "nobody-saw-it": "cat"})
        assert (taken.labels, taken.matched) == (101, 100)
        (view,) = client.accuracy("digits", "1.0.0")
        assert (view.devices, view.labelled, view.right) == (2, 100, 50)
        assert view.low < 0.5 < view.high
        assert client.accuracy("digits", "9.9.9") == []

    bad = engineer.publish("1.1.0")
    rollout = engineer.roll_out(
        "1.1.0",
        stages=[quick(devices=1, bake_s=30), quick(percent=100)],
        gate={"mode": "must_not_fail", "min_accuracy": 0.9},
    )
    digest = bad.variants[0].digest
    (canary,) = until(lambda: on_trial(devices, digest))
    wrong = {f"later-{n}": "dog" for n in range(60)}
    canary.send([replace(canary.window("digits"), answers=wrong)])
    with server.client() as client:
        client.add_labels("digits", dict.fromkeys(wrong, "cat"))
    ended = drive(server, devices, rollout.id)
    assert ended.phase == "rolled_back"
    assert "0 of 60 labelled answers are right" in ended.happenings[-1].text


def on_trial(devices: list[SimulatedDevice], digest: str) -> list[SimulatedDevice]:
    for device in devices:
        device.turn()
    return [device for device in devices if device.running["digits"] == digest]


def window(at: datetime, counts: tuple[int, ...], seq: int) -> WindowRecord:
    made = Window(
        seq=seq,
        model="digits",
        digest="d" * 64,
        boot_id="boot",
        ended_mono_s=0.0,
        duration_s=60.0,
        inferences=sum(counts),
        drift={"brightness": counts},
    )
    return WindowRecord(device_id="cam", spool_id="s", window=made, received_at=at, ended_at=at)


def test_hours_are_closed_compared_and_told(tmp_path: Path) -> None:
    database = SqlDatabase.open(f"sqlite:///{tmp_path / 'db'}")
    database.migrate()
    with database.write() as tables:
        tables.devices.put(
            DeviceRecord(id="cam", token_sha256="t", enrolled_by="e", enrolled_at=NOON)
        )
        tables.releases.add(
            ReleaseRecord(
                model="digits",
                version="1.0.0",
                state=ReleaseState.LISTED,
                published_at=NOON,
                variants=(
                    VariantRecord(
                        variant="onnx-fp32",
                        digest="d" * 64,
                        sha1="",
                        md5="",
                        size=1,
                        target="models/digits/1.0.0/onnx-fp32.bundle",
                        requires=Requirements(runtimes=()),
                    ),
                ),
            )
        )
    events = EventService(database)
    service = DriftService(database, PlanCache(), events)
    for day in range(25, 0, -1):
        at = NOON - timedelta(days=day)
        with database.append() as tables:
            usual = (60 + day % 5, 40 - day % 3, 2)
            tables.telemetry.add([window(at + timedelta(minutes=30), usual, day)])
        assert not service.close(at, now=at)[0].told
    with database.append() as tables:
        tables.telemetry.add(
            [window(NOON + timedelta(minutes=m), (2, 9, 90), 100 + m) for m in (5, 20)]
        )
    late = NOON + timedelta(hours=1, minutes=11)
    service.tick(now=late)
    (alarm,) = service.alarms("digits", now=late)
    assert (alarm.device, alarm.statistics) == ("cam", ("brightness",))
    with database.read() as tables:
        seen = drifting(tables, ["cam", "other"], "digits", since=NOON - timedelta(hours=1))
        assert (seen.watched, seen.drifting) == (1, ("cam",))
    (raised,) = events.alarms()
    assert (raised.device, raised.kind) == ("cam", "drift")
    service.tick(now=late)
    assert len(service.alarms("digits", now=late)) == 1
    assert [e.kind for e in events.newest(before=None, device="cam", limit=5)] == ["alarm_raised"]
    database.close()


def test_windows_of_other_models_are_added_up_apart_with_their_tails_and_memory(
    tmp_path: Path,
) -> None:
    database = SqlDatabase.open(f"sqlite:///{tmp_path / 'db'}")
    database.migrate()
    with database.write() as tables:
        tables.devices.put(
            DeviceRecord(id="cam", token_sha256="t", enrolled_by="e", enrolled_at=NOON)
        )
    records = []
    for seq, (model, ms) in enumerate((("digits", 10.0), ("faces", 20.0), ("faces", 40.0)), 1):
        made = window(NOON + timedelta(minutes=seq), (5, 5), seq)
        said = replace(
            made.window,
            model=model,
            digest=model[0] * 64,
            latency_ms=LogHistogram.of([ms] * 10),
            rss_mb=ms,
        )
        records.append(replace(made, window=said))
    with database.append() as tables:
        tables.telemetry.add(records)
    with database.read() as tables:
        found = tables.telemetry.neighbours(
            ["cam"], "digits", since=NOON, until=NOON + timedelta(hours=1)
        )
    ((key, summary),) = found.items()
    assert key == ("cam", "f" * 64)
    assert (summary.windows, summary.tails, summary.sum_rss_mb) == (2, 2, 60.0)
    assert summary.sum_log_p95 / 2 == pytest.approx(math.log((20 * 40) ** 0.5), abs=0.03)
    database.close()
