"""Garbage collection: takes what nobody needs, and nothing that a device may need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgekit.bundle import file_digest
from edgekit.device import DeviceProfile, Requirements, RuntimeRange
from fleet_server.domain.deployment import Deployment, DeploymentKind, DeploymentState
from fleet_server.domain.garbage import Stored, Use, garbage, garbage_deltas
from fleet_server.domain.goal import ReleaseState
from fleet_server.domain.policy import RolloutPolicy, Stage
from fleet_server.domain.rollout import Phase, new_rollout
from fleet_server.services.fleet_plan import make_plan
from fleet_server.services.offers import next_offer
from fleet_server.services.records.deployments import DeploymentRecord
from fleet_server.services.records.devices import DeviceRecord, DeviceState
from fleet_server.services.records.releases import ReleaseRecord, VariantRecord
from fleet_server.services.records.rollouts import RolloutRecord
from fleet_server.store import schema
from fleet_server.store.database import SqlDatabase
from tests.integration.server_fleet import Engineer, Server, SimulatedDevice, drive
from tests.manifests import make_bundle

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)
PROFILE = DeviceProfile(runtimes={"onnxruntime": "1.31.1"}, arch="x86_64")
VERSIONS = [f"1.{n}.0" for n in range(5)]
ENDS = (
    DeploymentState.COMMITTED,
    DeploymentState.UNEXERCISED,
    DeploymentState.REVERTED,
    DeploymentState.OFFERED,
)


def digest(version: str) -> str:
    return version.replace(".", "").rjust(64, "0")


@dataclass(frozen=True)
class Scene:
    """A fleet: states of releases, phases of rollouts, and what each device went through."""

    states: tuple[ReleaseState, ...]
    phases: tuple[Phase, ...]
    lives: tuple[tuple[tuple[int, DeploymentState], ...], ...]


SCENES = st.builds(
    Scene,
    states=st.tuples(*[st.sampled_from(ReleaseState)] * len(VERSIONS)),
    phases=st.tuples(*[st.sampled_from(Phase)] * len(VERSIONS)),
    lives=st.lists(
        st.lists(
            st.tuples(st.integers(0, len(VERSIONS) - 1), st.sampled_from(ENDS)), max_size=6
        ).map(tuple),
        max_size=3,
    ).map(tuple),
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlDatabase]:
    database = SqlDatabase.open(f"sqlite:///{tmp_path_factory.mktemp('gc') / 'fleet.sqlite'}")
    database.migrate()
    yield database
    database.close()


def releases_of(scene: Scene) -> list[ReleaseRecord]:
    needs = Requirements(runtimes=(RuntimeRange(name="onnxruntime"),))
    return [
        ReleaseRecord(
            model="digits",
            version=version,
            state=state,
            published_at=NOW,
            variants=(
                VariantRecord(
                    variant="onnx-fp32",
                    digest=digest(version),
                    sha1="",
                    md5="",
                    size=1,
                    target=version,
                    requires=needs,
                ),
            ),
        )
        for version, state in zip(VERSIONS, scene.states, strict=True)
    ]


def rollouts_of(scene: Scene) -> list[RolloutRecord]:
    policy = RolloutPolicy(stages=(Stage(percent=100.0),))
    made = [
        new_rollout(
            rollout_id=version,
            model="digits",
            version=version,
            policy=policy,
            now=NOW + timedelta(minutes=number),
            by="",
        )
        for number, version in enumerate(VERSIONS)
    ]
    return [
        RolloutRecord(rollout=replace(r, phase=phase))
        for r, phase in zip(made, scene.phases, strict=True)
    ]


def live(life: tuple[tuple[int, DeploymentState], ...], name: str) -> DeviceRecord:
    kept = [digest(VERSIONS[v]) for v, state in life if state in ENDS[:2]]
    return DeviceRecord(
        id=name,
        token_sha256="t",
        enrolled_by="e",
        enrolled_at=NOW,
        profile=PROFILE,
        running={"digits": kept[-1]} if kept else {},
        speaks_running=True,
    )


def deployments_of(
    life: tuple[tuple[int, DeploymentState], ...], device: DeviceRecord
) -> list[DeploymentRecord]:
    last = len(life) - 1
    return [
        DeploymentRecord(
            deployment=Deployment(
                id=0,
                device_id=device.id,
                rollout_id=VERSIONS[v],
                model="digits",
                version=VERSIONS[v],
                variant="onnx-fp32",
                kind=DeploymentKind.ROLLOUT,
                state=state
                if state is not DeploymentState.OFFERED or number == last
                else DeploymentState.FAILED,
                offered_at=NOW,
                changed_at=NOW,
            ),
            digest=digest(VERSIONS[v]),
        )
        for number, (v, state) in enumerate(life)
    ]


def empty(database: SqlDatabase) -> None:
    with database.bulk() as connection:
        for table in reversed(schema.metadata.sorted_tables):
            if table.name not in {"fleet", "audit"}:
                connection.execute(table.delete())


@settings(
    max_examples=int(os.environ.get("EDGEKIT_EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(scene=SCENES)
def test_nothing_goes_that_a_device_runs_takes_or_may_be_offered(
    scene: Scene, database: SqlDatabase
) -> None:
    releases, rollouts = releases_of(scene), rollouts_of(scene)
    plan = make_plan(releases, rollouts)
    fleet = [(live(life, f"d{n}"), life) for n, life in enumerate(scene.lives)]
    empty(database)
    with database.write() as tables:
        for release in releases:
            tables.releases.add(release)
        needed: set[str] = set()
        for device, life in fleet:
            tables.devices.put(device)
            stored = [tables.deployments.add(r) for r in deployments_of(life, device)]
            needed |= {r.digest for r in stored if r.is_open} | set(device.running.values())
            offer = next_offer(device, stored, plan)
            needed |= {offer.variant.digest} if offer else set()
        use = tables.bundles.use()
    blobs = [Stored(digest=digest(v), size=1, stored_at=NOW - 2 * DAY) for v in VERSIONS]
    gone = {blob.digest for blob in garbage(blobs, use, now=NOW, patience=DAY)}
    assert not gone & needed
    had = {digest(VERSIONS[v]) for life in scene.lives for v, _ in life}
    unlisted = {
        v.digest for r in releases if r.state is not ReleaseState.LISTED for v in r.variants
    }
    assert unlisted - had <= gone


def test_a_bundle_of_no_release_waits_a_day_for_one() -> None:
    young = Stored(digest="a" * 64, size=1, stored_at=NOW - DAY / 2)
    old = Stored(digest="b" * 64, size=1, stored_at=NOW - DAY)
    assert garbage([young, old], Use(), now=NOW, patience=DAY) == [old]


def test_a_delta_goes_with_its_base_and_with_its_target() -> None:
    use = Use(listed=frozenset({"new", "old"}))
    pairs = [("old", "new"), ("gone", "new"), ("old", "withdrawn")]
    assert garbage_deltas(pairs, use, frozenset({"old", "new"})) == pairs[1:]


def test_a_revoked_device_needs_nothing(database: SqlDatabase) -> None:
    empty(database)
    with database.write() as tables:
        device = live(((0, DeploymentState.COMMITTED),), "gone")
        revoked = replace(device, state=DeviceState.REVOKED)
        tables.devices.put(revoked)
        for record in deployments_of(((0, DeploymentState.COMMITTED),), revoked):
            tables.deployments.add(record)
        assert digest(VERSIONS[0]) not in tables.bundles.use().running
        assert digest(VERSIONS[0]) not in tables.bundles.use().committed


def test_withdrawn_bundles_go_and_their_lineage_stays(tmp_path: Path) -> None:
    with Server(tmp_path / "server") as server, server.client() as client:
        engineer = Engineer.create(server, tmp_path)
        device = SimulatedDevice.enrol(server, "one")
        for version in ("1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"):
            engineer.publish(version)
            rollout = engineer.roll_out(version)
            assert drive(server, [device], rollout.id).phase == "finished"
        began = client.history("one")[0]
        until_then = client.ran("one", str(began.ended_at))
        assert client.garbage().bundles == ()
        for version in ("1.0.0", "1.3.0"):
            client.withdraw("digits", version)
        found = client.garbage()
        assert [b.release for b in found.bundles] == ["digits 1.0.0 onnx-fp32"]
        assert not found.collected
        blob = server.data / "blobs" / found.bundles[0].digest[:2] / found.bundles[0].digest
        assert blob.is_file()
        went = client.collect_garbage()
        assert went.bundles == found.bundles
        assert went.bytes >= found.bundles[0].size > 0
        assert not blob.exists()
        assert client.collect_garbage().bundles == ()
        assert client.ran("one", str(began.ended_at)) == until_then
        assert until_then[0].lineage is not None
        deltas = sorted(path.name for path in (server.data / "blobs" / "deltas").glob("*"))
        assert not [name for name in deltas if found.bundles[0].digest in name]


def test_uploads_of_no_release_go_after_a_day(tmp_path: Path) -> None:
    with Server(tmp_path / "server") as server, server.client() as client:
        Engineer.create(server, tmp_path)
        bundle = make_bundle(tmp_path, "9.0.0").path
        sha256, size = file_digest(bundle), bundle.stat().st_size
        client.upload_blob(bundle, sha256=sha256, size=size)
        part = server.data / "blobs" / "incoming" / ("c" * 64)
        part.write_bytes(b"half")
        assert client.garbage().bundles == ()
        for path in (server.data / "blobs" / sha256[:2] / sha256, part):
            os.utime(path, (0, 0))
        went = client.collect_garbage()
        assert [(b.digest, b.release) for b in went.bundles] == [(sha256, "")]
        assert went.unfinished_bytes == 4
        assert client.upload_blob(bundle, sha256=sha256, size=size)
