"""Samples of a fleet: exact where it is small, from a few of its cells where it is large."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select

from edgekit.device import DeviceProfile, Requirements, RuntimeRange
from fleet_server.domain.assignment import Candidate, cell_of, choose_canaries
from fleet_server.domain.goal import ReleaseState
from fleet_server.domain.policy import RolloutPolicy, Stage
from fleet_server.domain.rollout import Phase, Rollout
from fleet_server.domain.selector import parse_selector
from fleet_server.services.fleet_plan import make_plan
from fleet_server.services.records.devices import DeviceRecord, DeviceState
from fleet_server.services.records.releases import ReleaseRecord, VariantRecord
from fleet_server.services.records.rollouts import RolloutRecord
from fleet_server.services.roster import make_roster
from fleet_server.services.sampling import EvidenceTimes, sample
from fleet_server.store import schema
from fleet_server.store.database import SqlDatabase
from fleet_server.store.devices import device_row
from fleet_server.store.dialects import KIND, Kind, insert_or_ignore

pytestmark = pytest.mark.integration

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TIMES = EvidenceTimes(baseline_s=3600, interval_s=60)
BIG = DeviceProfile(runtimes={"onnxruntime": "1.31.1"}, arch="x86_64")
SMALL = DeviceProfile(runtimes={"onnxruntime": "1.31.1"}, arch="aarch64")
PLAN = make_plan(
    [
        ReleaseRecord(
            model="m",
            version="2",
            state=ReleaseState.LISTED,
            published_at=NOW,
            variants=(
                VariantRecord(
                    variant="onnx",
                    digest="1" * 64,
                    sha1="",
                    md5="",
                    size=1,
                    target="t",
                    requires=Requirements(runtimes=(RuntimeRange(name="onnxruntime"),)),
                ),
            ),
        )
    ],
    [],
)


def device(name: str, profile: DeviceProfile | None = BIG, **labels: str) -> DeviceRecord:
    return DeviceRecord(
        id=name,
        token_sha256=name,
        enrolled_by="e",
        enrolled_at=NOW,
        last_seen_at=NOW,
        profile=profile,
        labels=labels,
    )


def fill(database: SqlDatabase, devices: list[DeviceRecord]) -> None:
    with database.engine.connect() as opened:
        connection = opened.execution_options(**{KIND: Kind.WRITE})
        with connection.begin():
            insert_or_ignore(connection, schema.devices, [device_row(d) for d in devices])


def rollout(*stages: Stage, selector: str = "", chosen: frozenset[str] = frozenset()) -> Rollout:
    return Rollout(
        id="r1",
        model="m",
        version="2",
        policy=RolloutPolicy(stages=(*stages, Stage(percent=100)), selector=selector),
        created_at=NOW,
        changed_at=NOW,
        phase=Phase.RUNNING,
        stage_started_at=NOW,
        chosen=chosen,
        passed={"onnx on x86_64": 0},
    )


def read(database: SqlDatabase, of: Rollout, wanted: int | None = 50) -> list[Candidate]:
    record = RolloutRecord(rollout=of, selector=parse_selector(of.policy.selector))
    with database.read() as tables:
        return sample(tables, PLAN, record, TIMES, now=NOW, wanted=wanted)


def test_a_large_fleet_is_sampled_and_its_size_estimated(database: SqlDatabase) -> None:
    fill(database, [device(f"d{i:05}") for i in range(6000)])
    fill(database, [device(f"a{i}", SMALL) for i in range(3)])
    stage = rollout(Stage(percent=20))
    found = read(database, stage, wanted=1000)
    assert 1003 <= len(found) <= 3000
    assert {c.device_id for c in found if c.stratum.profile_class == "aarch64"} == {
        "a0",
        "a1",
        "a2",
    }
    small, large = make_roster(stage, found, now=NOW).populations
    assert (small.reachable, small.stratum.profile_class) == (3, "aarch64")
    assert 5400 <= large.reachable <= 6600
    assert 0.19 <= large.taking_part / large.reachable <= 0.21
    assert read(database, stage, wanted=1000) == found


def test_a_small_fleet_is_read_whole_and_counted_exactly(database: SqlDatabase) -> None:
    fill(database, [device(f"d{i}") for i in range(40)])
    stage = rollout(Stage(devices=2), chosen=frozenset({"d1", "d2"}))
    found = read(database, stage)
    assert {c.device_id for c in found} == {f"d{i}" for i in range(40)}
    (counted,) = make_roster(stage, found, now=NOW).populations
    assert (counted.reachable, counted.taking_part) == (40, 2)


def test_named_devices_are_counted_each_in_a_sample_too(database: SqlDatabase) -> None:
    fill(database, [device(f"d{i:05}") for i in range(3000)])
    named = frozenset(f"d{i:05}" for i in range(0, 3000, 100))
    stage = rollout(Stage(devices=30), chosen=named)
    found = read(database, stage, wanted=200)
    assert len(found) < 1500
    (counted,) = make_roster(stage, found, now=NOW).populations
    assert counted.taking_part == 30


def test_who_is_pinned_or_not_active_or_not_selected_is_no_candidate(database: SqlDatabase) -> None:
    fleet = [
        device("yes", site="osaka"),
        device("elsewhere", site="kyoto"),
        replace(device("pinned", site="osaka"), pins={"m": "1"}),
        replace(device("other", site="osaka"), pins={"else": "1"}),
        replace(device("ill", site="osaka"), state=DeviceState.QUARANTINED),
        device("mute", None, site="osaka"),
        device("updater", None, site="osaka", client="swupdate"),
    ]
    fill(database, fleet)
    of = rollout(selector="site=osaka", chosen=frozenset(d.id for d in fleet))
    assert {c.device_id for c in read(database, of)} == {"yes", "other"}
    assert {c.device_id for c in read(database, replace(of, chosen=frozenset()))} == {
        "yes",
        "other",
    }


def test_a_sample_goes_on_until_the_few_that_can_be_compared_are_enough(
    database: SqlDatabase,
) -> None:
    gone = NOW - timedelta(days=1)
    fill(database, [replace(device(f"d{i:04}"), last_seen_at=gone) for i in range(1500)])
    fill(database, [device(f"here{i}") for i in range(20)])
    of = rollout(Stage(devices=3))
    chosen = choose_canaries(of.stage, read(database, of), rollout_id=of.id, now=NOW)
    assert len(chosen) == 3
    assert all(name.startswith("here") for name in chosen)


@pytest.mark.parametrize(
    "selector",
    [
        "a=1",
        "a!=1",
        "a in (1,2),b",
        "a notin (1,2)",
        "!a",
        "b",
        "x.y/z-1=ok",
        "a==1,b=",
        "!a,!b",
    ],
)
def test_selectors_mean_the_same_in_the_database(database: SqlDatabase, selector: str) -> None:
    labels: list[dict[str, str]] = [{}, {"a": "1"}, {"a": "2", "b": ""}, {"b": "1"}]
    labels += [{"x.y/z-1": "ok", "a": "3"}, {"A": "1"}]
    fleet = [replace(device(f"d{i}"), labels=pairs) for i, pairs in enumerate(labels)]
    fill(database, fleet)
    wanted = parse_selector(selector)
    with database.read() as tables:
        page = tables.devices.page(selector=wanted, after="", limit=None)
    assert [d.id for d in page] == [d.id for d in fleet if wanted.matches(d.labels)]


def test_devices_of_an_earlier_server_get_their_kind_and_cell(database: SqlDatabase) -> None:
    fleet = [device("a"), device("b", SMALL), device("c", None), device("d", None, client="rauc")]
    database.migrate("base")
    database.migrate("0081")
    old = [{k: v for k, v in device_row(d).items() if k not in ("kind", "cell")} for d in fleet]
    with database.bulk() as connection:
        for row in old:
            connection.execute(insert(schema.devices).values(row))
    database.migrate()
    with database.read() as tables:
        assert {d.id for d in tables.devices.kinds()} == {"a", "b", "c", "d"}
        assert tables.devices.get("d") == fleet[3]
    columns = schema.devices.c
    with database.snapshot() as connection:
        rows = connection.execute(select(columns.id, columns.kind, columns.cell)).all()
    assert {tuple(r) for r in rows} == {(d.id, d.kind, cell_of(d.id)) for d in fleet}


def test_a_device_changes_its_kind_with_its_profile(database: SqlDatabase) -> None:
    with database.write() as tables:
        tables.devices.put(device("a"))
        tables.devices.put(device("a", SMALL))
    with database.snapshot() as connection:
        kind = connection.execute(select(schema.devices.c.kind)).scalar_one()
    assert kind == device("a", SMALL).kind
