"""What a gate gets to read, from a real database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edgekit.device import DeviceProfile, Requirements, RuntimeRange
from edgekit.telemetry import LogHistogram, Window
from fleet_server.domain.deployment import Deployment, DeploymentState
from fleet_server.domain.evidence import Evidence, LeftOut, Role
from fleet_server.domain.goal import ReleaseState
from fleet_server.domain.policy import RolloutPolicy, Stage
from fleet_server.domain.rollout import Phase, Rollout
from fleet_server.services.evidence import Gatherer
from fleet_server.services.fleet_plan import make_plan
from fleet_server.services.records.deployments import DeploymentRecord
from fleet_server.services.records.devices import DeviceRecord
from fleet_server.services.records.releases import ReleaseRecord, VariantRecord
from fleet_server.services.records.rollouts import RolloutRecord
from fleet_server.services.records.telemetry import WindowRecord
from fleet_server.services.sampling import EvidenceTimes
from fleet_server.store.database import SqlDatabase

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OLD, NEW = "0" * 64, "1" * 64
TIMES = EvidenceTimes(baseline_s=3600, interval_s=60)
ROLLOUT = Rollout(
    id="r1",
    model="digits",
    version="1.1.0",
    policy=RolloutPolicy(stages=(Stage(devices=1), Stage(percent=100))),
    created_at=NOW,
    changed_at=NOW,
    phase=Phase.RUNNING,
    stage_started_at=NOW,
    chosen=frozenset({"canary"}),
)
RELEASE = ReleaseRecord(
    model="digits",
    version="1.1.0",
    state=ReleaseState.LISTED,
    published_at=NOW,
    variants=(
        VariantRecord(
            variant="onnx",
            digest=NEW,
            sha1="",
            md5="",
            size=1,
            target="t",
            requires=Requirements(runtimes=(RuntimeRange(name="onnxruntime"),)),
        ),
    ),
)


def at(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqlDatabase]:
    """Return a database with one canary and three controls that polled a minute ago."""
    database = SqlDatabase.open(f"sqlite:///{tmp_path / 'fleet.sqlite'}")
    database.migrate()
    with database.write() as tables:
        for name in ("canary", "k0", "k1", "k2"):
            tables.devices.put(
                DeviceRecord(
                    id=name,
                    token_sha256=name,
                    enrolled_by="e",
                    enrolled_at=NOW,
                    last_seen_at=at(9),
                    profile=DeviceProfile(runtimes={"onnxruntime": "1.31.1"}, arch="x86_64"),
                )
            )
        tables.deployments.add(deployed("digits", "r1", activated=1))
    yield database
    database.close()


def deployed(model: str, rollout: str, *, activated: float) -> DeploymentRecord:
    deployment = Deployment(
        id=0,
        device_id="canary",
        rollout_id=rollout,
        model=model,
        version="1.1.0",
        variant="onnx",
        state=DeploymentState.COMMITTED,
        offered_at=NOW,
        changed_at=at(activated),
    )
    return DeploymentRecord(deployment=deployment, digest=NEW, activated_at=at(activated))


def window(device: str, digest: str, minutes: float, *, nan: int = 0) -> WindowRecord:
    made = Window(
        seq=int(minutes * 60) + 100_000,
        model="digits",
        digest=digest,
        boot_id="b",
        ended_mono_s=0.0,
        duration_s=60.0,
        inferences=100,
        nan_outputs=nan,
        latency_ms=LogHistogram.of([10.0]),
    )
    return WindowRecord(
        device_id=device,
        spool_id="s",
        window=made,
        received_at=at(minutes),
        ended_at=at(minutes),
    )


def gathered(database: SqlDatabase, gatherer: Gatherer | None = None) -> Evidence:
    record = RolloutRecord(rollout=ROLLOUT)
    plan = make_plan([RELEASE], [record])
    with database.read() as tables:
        return (gatherer or Gatherer(TIMES)).gather(tables, plan, record, now=at(10))


def test_canary_and_controls_over_the_same_interval(database: SqlDatabase) -> None:
    with database.write() as tables:
        tables.telemetry.add([window("canary", OLD, -5), window("canary", NEW, 5)])
        tables.telemetry.add([window("k0", OLD, -5), window("k0", OLD, 5)])
        tables.telemetry.add([window("canary", "f" * 64, 6)])  # was never offered
    evidence = gathered(database)
    (canary,) = evidence.of(None, Role.CANARY)
    assert (canary.before.windows, canary.after.windows) == (1, 1)
    controls = {c.device_id: c for c in evidence.of(None, Role.CONTROL)}
    assert set(controls) == {"k0", "k1", "k2"}
    assert (controls["k0"].before.windows, controls["k0"].after.windows) == (1, 1)
    (population,) = evidence.populations
    assert (population.reachable, population.taking_part) == (4, 1)


def test_an_answer_that_is_no_number_is_an_error(database: SqlDatabase) -> None:
    with database.write() as tables:
        tables.telemetry.add([window("canary", NEW, 5, nan=30)])
    (canary,) = gathered(database).of(None, Role.CANARY)
    assert (canary.after.inferences, canary.after.errors) == (100, 30)


def test_a_device_that_was_unhealthy_before_is_no_evidence(database: SqlDatabase) -> None:
    with database.write() as tables:
        tables.telemetry.add([window("canary", OLD, -5, nan=30)])
    evidence = gathered(database)
    assert evidence.left_out == {"canary": LeftOut.UNHEALTHY_BEFORE}
    assert evidence.of(None, Role.CANARY) == ()
    assert evidence.populations[0].taking_part == 0


def test_a_device_whose_other_model_changed_is_no_evidence(database: SqlDatabase) -> None:
    with database.write() as tables:
        tables.deployments.add(deployed("faces", "r9", activated=2))
    assert gathered(database).left_out == {"canary": LeftOut.OTHER_MODEL_CHANGED}


def test_a_change_of_long_ago_leaves_nobody_out(database: SqlDatabase) -> None:
    with database.write() as tables:
        tables.deployments.add(deployed("faces", "r9", activated=-120))
    assert gathered(database).left_out == {}


def test_baselines_are_read_once(database: SqlDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.write() as tables:
        tables.telemetry.add([window("canary", OLD, -5), window("k1", OLD, -5)])
    gatherer = Gatherer(TIMES)
    first = gathered(database, gatherer)
    asked: list[str] = []
    monkeypatch.setattr(
        "fleet_server.store.telemetry.SqlTelemetry.last_digest",
        lambda *_, **__: asked.append("again"),
    )
    assert gathered(database, gatherer) == first
    assert asked == []


def test_a_replay_counts_once(database: SqlDatabase) -> None:
    one = window("canary", NEW, 5)
    for _ in range(3):
        with database.write() as tables:
            tables.telemetry.add([one])
    (canary,) = gathered(database).of(None, Role.CANARY)
    assert canary.after.windows == 1


def test_windows_that_nobody_can_date_or_that_are_of_before_the_stage_judge_nothing(
    database: SqlDatabase,
) -> None:
    lies = [
        replace(window("canary", NEW, 2), ended_at=None),  # another boot
        window("canary", NEW, -30),
        window("canary", NEW, 600),  # of the future
    ]
    with database.write() as tables:
        tables.telemetry.add(lies)
    (canary,) = gathered(database).of(None, Role.CANARY)
    assert canary.after.windows == 0


def test_what_a_device_sends_changes_nothing_about_another(database: SqlDatabase) -> None:
    with database.write() as tables:
        tables.telemetry.add([window("canary", NEW, 5)])
    before = gathered(database)
    with database.write() as tables:
        tables.telemetry.add([window("k0", NEW, 5, nan=100), window("k1", "e" * 64, 5, nan=100)])
    after = gathered(database)
    assert after.of(None, Role.CANARY) == before.of(None, Role.CANARY)
    assert after.left_out == {}
