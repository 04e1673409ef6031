"""What the gate of a stage with shadow answers, and who is in such a stage."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from edgekit.errors import UsageError
from edgekit.shadow import ShadowOrder, ShadowResult
from edgekit.verdict import Verdict
from fleet_server.domain.assignment import Candidate
from fleet_server.domain.deployment import DeploymentState
from fleet_server.domain.evidence import DeviceEvidence, Evidence, Population, Role, Stratum
from fleet_server.domain.goal import DeviceHistory, ReleaseState, find_goal
from fleet_server.domain.judgement import Judgement
from fleet_server.domain.policy import GatePolicy, RolloutPolicy, Shadow, Stage, parse_policy
from fleet_server.domain.rollout import Phase, new_rollout, open_stage, step
from fleet_server.domain.shadow_gate import judge_shadow

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SHADOW = Shadow(min_pairs=100, agreement=0.95, latency_times=2.0)
STAGE = Stage(percent=50, shadow=SHADOW, bake_s=0, min_reporting=1.0)
A = Stratum(variant="a")


def device(
    name: str,
    *,
    agreed: int = 990,
    pairs: int = 1000,
    failed: int = 0,
    times: float = 1.0,
    state: DeploymentState = DeploymentState.SHADOWED,
) -> DeviceEvidence:
    log = math.log(times)
    found = ShadowResult(
        pairs=pairs,
        agreed=min(agreed, pairs),
        failed=failed,
        sum_log_ratio=pairs * log,
        sum_sq_log_ratio=pairs * log * log,
    )
    return DeviceEvidence(device_id=name, stratum=A, role=Role.CANARY, outcome=state, shadow=found)


def of(*devices: DeviceEvidence) -> Evidence:
    population = Population(stratum=A, reachable=10, taking_part=len(devices))
    return Evidence(devices=devices, populations=(population,))


def judged(*devices: DeviceEvidence, baked: bool = True, timed_out: bool = False) -> Judgement:
    return judge_shadow(GatePolicy(), STAGE, of(*devices), baked=baked, timed_out=timed_out)


SHADOWING = DeploymentState.DOWNLOADING


@pytest.mark.parametrize(
    ("devices", "verdict"),
    [
        ([device("x"), device("y")], Verdict.PASS),
        ([device("x"), device("y", agreed=900)], Verdict.FAIL),
        ([device("x", agreed=900, state=SHADOWING)], Verdict.FAIL),
        ([device("x", agreed=945)], Verdict.INCONCLUSIVE),
        ([device("x", agreed=80, pairs=80, failed=20)], Verdict.FAIL),
        ([device("x", times=2.5)], Verdict.FAIL),
        ([device("x", pairs=0)], Verdict.PENDING),
        ([device("x", agreed=40, pairs=99)], Verdict.PENDING),
        ([device("x", state=SHADOWING)], Verdict.PENDING),
        ([device("x"), device("y", state=DeploymentState.REJECTED)], Verdict.FAIL),
        ([], Verdict.PENDING),
    ],
    ids=[
        "agree",
        "one disagrees",
        "disagrees before it is done",
        "in doubt",
        "no answer is no agreement",
        "slow",
        "unexercised",
        "too few pairs",
        "not done",
        "rejected",
        "nobody",
    ],
)
def test_pairs_of_answers_are_judged(devices, verdict) -> None:
    assert judged(*devices).verdict is verdict


def test_it_passes_only_when_it_has_baked_and_waits_no_longer_than_its_time() -> None:
    assert judged(device("x"), baked=False).verdict is Verdict.PENDING
    assert judged(device("x", pairs=0), timed_out=True).verdict is Verdict.INCONCLUSIVE


def test_the_sentence_says_what_was_seen_and_who_disagrees() -> None:
    said = judged(device("cam-7", agreed=900)).sentence
    assert "900 of 1000 inputs on 1 devices were answered alike (90.0%, 95.0% asked for)" in said
    assert "cam-7" in said


POLICY = RolloutPolicy(stages=(STAGE, Stage(percent=100)))
LISTED = dict.fromkeys(("1.0.0", "1.1.0"), ReleaseState.LISTED)
CAM = DeviceHistory(device_id="cam", running="1.0.0", strata={"1.1.0": A})


def candidate(now: datetime) -> Candidate:
    return Candidate(device_id="cam", stratum=A, last_polled_at=now, poll_interval_s=60.0)


def test_a_device_shadows_once_then_waits_and_installs_in_the_stage_that_follows() -> None:
    rollout = new_rollout(rollout_id="r", model="digits", version="1.1.0", policy=POLICY, now=NOW)
    rollout, _ = step(rollout, Evidence(), NOW)
    rollout, _ = open_stage(rollout, [candidate(NOW)], NOW)
    goal = find_goal(CAM, [rollout], LISTED)
    assert goal.shadow == SHADOW

    done = replace(CAM, shadowed=frozenset({"r"}))
    assert find_goal(done, [rollout], LISTED).version is None
    later = NOW + timedelta(seconds=1)
    rollout, _ = step(rollout, of(device("cam")), later)
    assert rollout.stage_index == 1
    assert find_goal(done, [rollout], LISTED).version is None  # the stage is not open yet
    rollout, _ = open_stage(rollout, [candidate(later)], later)
    goal = find_goal(done, [rollout], LISTED)
    assert (goal.version, goal.shadow) == ("1.1.0", None)


def test_a_failed_shadow_ends_the_rollout_also_while_it_waits_for_a_person() -> None:
    rollout = new_rollout(rollout_id="r", model="digits", version="1.1.0", policy=POLICY, now=NOW)
    rollout = replace(rollout, phase=Phase.HELD, stage_started_at=NOW)
    ended, _ = step(rollout, of(device("cam", agreed=1)), NOW)
    assert ended.phase is Phase.ROLLED_BACK


def test_a_device_is_told_one_in_so_many() -> None:
    assert Shadow(fraction=0.05).order == ShadowOrder(every=20)
    assert Shadow(fraction=1).order.every == 1


@pytest.mark.parametrize(
    ("stages", "names"),
    [
        ([{"percent": 100, "shadow": {}}], "the last one cannot have 'shadow'"),
        ([{"percent": 5, "shadow": {"fraction": 0}}, {"percent": 100}], "shadow.fraction"),
        ([{"percent": 5, "shadow": {"min_pairs": 0}}, {"percent": 100}], "shadow.min_pairs"),
        ([{"percent": 5, "shadow": {"share": 1}}, {"percent": 100}], "stages[0].shadow.share"),
    ],
)
def test_a_shadow_that_cannot_be_is_refused_by_name(stages, names) -> None:
    with pytest.raises(UsageError, match=names.replace("[", r"\[").replace("]", r"\]")):
        parse_policy({"stages": stages}, "rollout.yaml")


def test_a_wide_shadow_may_come_before_few_devices_that_activate() -> None:
    stages = [{"percent": 20, "shadow": {}}, {"devices_per_variant": 3}, {"percent": 100}]
    assert parse_policy({"stages": stages}, "rollout.yaml").stages[0].shadow == Shadow()
