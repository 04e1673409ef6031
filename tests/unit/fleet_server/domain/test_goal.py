"""What one device should run."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fleet_server.domain.deployment import DeploymentKind
from fleet_server.domain.evidence import Stratum
from fleet_server.domain.goal import DeviceHistory, Goal, ReleaseState, find_goal
from fleet_server.domain.policy import RolloutPolicy, Stage
from fleet_server.domain.rollout import Phase, Rollout

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ONE = RolloutPolicy(stages=(Stage(devices_per_variant=1), Stage(percent=100)))
STRATA = dict.fromkeys(("1.0.0", "1.1.0", "1.2.0"), Stratum(variant="a"))
LISTED = dict.fromkeys(("1.0.0", "1.1.0", "1.2.0"), ReleaseState.LISTED)


def rollout(name: str, version: str, phase: Phase, *, chosen: str = "cam", hour: int) -> Rollout:
    whole = phase is Phase.FINISHED
    return Rollout(
        id=name,
        model="digits",
        version=version,
        policy=ONE,
        created_at=NOW + timedelta(hours=hour),
        changed_at=NOW,
        phase=phase,
        stage_index=1 if whole else 0,
        stage_started_at=NOW,
        chosen=frozenset({chosen}),
    )


OLD = rollout("r0", "1.0.0", Phase.FINISHED, hour=0)
MID = rollout("r1", "1.1.0", Phase.FINISHED, hour=1)
NEW = rollout("r2", "1.2.0", Phase.RUNNING, hour=2)
ON_1_1 = DeviceHistory(
    device_id="cam", running="1.1.0", running_from="r1", committed=("1.0.0", "1.1.0"), strata=STRATA
)
ON_1_2 = replace(ON_1_1, running="1.2.0", running_from="r2", committed=("1.0.0", "1.1.0", "1.2.0"))
KEEP = Goal()
FORWARD = Goal(version="1.2.0", rollout_id="r2")


def test_a_new_device_gets_the_newest_finished_release() -> None:
    new = DeviceHistory(device_id="fresh", strata=STRATA)
    assert find_goal(new, [OLD, MID], LISTED) == Goal(version="1.1.0", rollout_id="r1")


def test_nothing_is_offered_where_nothing_was_rolled_out() -> None:
    assert find_goal(DeviceHistory(device_id="fresh", strata=STRATA), [], LISTED) == KEEP


def test_a_device_that_takes_part_gets_the_release_and_others_keep_theirs() -> None:
    assert find_goal(ON_1_1, [OLD, MID, NEW], LISTED) == FORWARD
    assert find_goal(replace(ON_1_1, device_id="other"), [OLD, MID, NEW], LISTED) == KEEP


def test_who_runs_the_goal_is_offered_nothing() -> None:
    assert find_goal(ON_1_2, [OLD, MID, NEW], LISTED) == KEEP


def test_a_device_that_missed_a_release_skips_to_the_newest() -> None:
    late = replace(ON_1_1, running="1.0.0", running_from="r0", committed=("1.0.0",))
    assert find_goal(late, [OLD, MID, NEW], LISTED) == FORWARD


@pytest.mark.parametrize("phase", [Phase.SCHEDULED, Phase.HELD, Phase.PAUSED])
def test_a_rollout_that_waits_offers_nothing_new(phase: Phase) -> None:
    assert find_goal(ON_1_1, [OLD, MID, replace(NEW, phase=phase)], LISTED) == KEEP


@pytest.mark.parametrize("phase", [Phase.HELD, Phase.PAUSED])
def test_a_rollout_that_waits_takes_nothing_away(phase: Phase) -> None:
    waiting = [OLD, MID, replace(NEW, phase=phase)]
    assert find_goal(ON_1_2, waiting, LISTED) == KEEP
    assert find_goal(replace(ON_1_1, installing="1.2.0"), waiting, LISTED) == FORWARD


@pytest.mark.parametrize("phase", [Phase.ROLLED_BACK, Phase.ABORTED])
def test_after_an_undone_rollout_a_device_returns_to_what_it_committed_before(
    phase: Phase,
) -> None:
    goal = find_goal(ON_1_2, [OLD, MID, replace(NEW, phase=phase)], LISTED)
    assert goal == Goal(version="1.1.0", kind=DeploymentKind.ROLLBACK, rollout_id="r2")


@pytest.mark.parametrize("phase", [Phase.ROLLED_BACK, Phase.ABORTED])
def test_who_never_ran_the_undone_release_keeps_its_own(phase: Phase) -> None:
    assert find_goal(ON_1_1, [OLD, MID, replace(NEW, phase=phase)], LISTED) == KEEP


def test_a_rollback_ends_and_does_not_loop() -> None:
    undone = [OLD, MID, replace(NEW, phase=Phase.ROLLED_BACK)]
    back = replace(ON_1_1, committed=("1.0.0", "1.1.0", "1.2.0", "1.1.0"))
    assert find_goal(back, undone, LISTED) == KEEP


def test_the_way_back_leads_past_what_was_undone_before() -> None:
    undone = [OLD, replace(MID, phase=Phase.ABORTED), replace(NEW, phase=Phase.ROLLED_BACK)]
    assert find_goal(ON_1_2, undone, LISTED).version == "1.0.0"


@pytest.mark.parametrize("state", [ReleaseState.WITHDRAWN, ReleaseState.REVOKED])
def test_the_way_back_leads_past_what_may_not_run(state: ReleaseState) -> None:
    undone = [OLD, MID, replace(NEW, phase=Phase.ROLLED_BACK)]
    assert find_goal(ON_1_2, undone, LISTED | {"1.1.0": state}).version == "1.0.0"


def test_the_way_back_leads_past_what_failed_here() -> None:
    undone = [OLD, MID, replace(NEW, phase=Phase.ROLLED_BACK)]
    device = replace(ON_1_2, failed=frozenset({"1.1.0"}))
    assert find_goal(device, undone, LISTED).version == "1.0.0"


def test_without_a_way_back_it_keeps_running_and_somebody_is_told() -> None:
    first = DeviceHistory(device_id="cam", running="1.2.0", running_from="r2", committed=("1.2.0",))
    goal = find_goal(first, [replace(NEW, phase=Phase.ROLLED_BACK)], LISTED)
    assert goal.version is None
    assert "nothing to go back to" in goal.alert


def test_what_failed_here_is_not_offered_again() -> None:
    device = replace(ON_1_1, failed=frozenset({"1.2.0"}))
    assert find_goal(device, [OLD, MID, NEW], LISTED) == KEEP


@pytest.mark.parametrize("state", [ReleaseState.WITHDRAWN, ReleaseState.REVOKED])
def test_what_may_not_run_is_not_offered(state: ReleaseState) -> None:
    assert find_goal(ON_1_1, [OLD, MID, NEW], LISTED | {"1.2.0": state}) == KEEP


def test_an_unknown_release_is_not_offered() -> None:
    assert find_goal(ON_1_1, [OLD, MID, NEW], {"1.1.0": ReleaseState.LISTED}) == KEEP


def test_a_withdrawn_release_stays_where_it_runs() -> None:
    releases = LISTED | {"1.1.0": ReleaseState.WITHDRAWN}
    assert find_goal(ON_1_1, [OLD, MID], releases) == KEEP


def test_a_revoked_release_is_replaced_by_the_newest_that_it_may_have() -> None:
    releases = LISTED | {"1.1.0": ReleaseState.REVOKED}
    assert find_goal(ON_1_1, [OLD, MID, NEW], releases) == FORWARD
    assert find_goal(ON_1_1, [OLD, MID], releases).version == "1.0.0"


def test_a_revoked_release_without_a_successor_goes_back() -> None:
    goal = find_goal(ON_1_1, [MID], LISTED | {"1.1.0": ReleaseState.REVOKED})
    assert (goal.version, goal.kind) == ("1.0.0", DeploymentKind.ROLLBACK)


def test_a_second_rollout_of_an_undone_release_offers_it_again() -> None:
    again = rollout("r3", "1.2.0", Phase.RUNNING, hour=3)
    undone = replace(NEW, phase=Phase.ROLLED_BACK)
    assert find_goal(ON_1_1, [OLD, MID, undone, again], LISTED).rollout_id == "r3"
    came_with_it = replace(ON_1_2, running_from="r3")
    assert find_goal(came_with_it, [OLD, MID, undone, again], LISTED) == KEEP


def test_an_aborted_second_rollout_leaves_those_who_had_it_before() -> None:
    first = replace(NEW, phase=Phase.FINISHED, stage_index=1)
    again = rollout("r3", "1.2.0", Phase.ABORTED, chosen="other", hour=3)
    assert find_goal(ON_1_2, [OLD, MID, first, again], LISTED) == KEEP


def test_a_device_of_unknown_origin_is_judged_by_the_latest_rollout_of_what_it_runs() -> None:
    lost = replace(ON_1_2, running_from=None)
    undone = replace(NEW, phase=Phase.ROLLED_BACK)
    assert find_goal(lost, [OLD, MID, undone], LISTED).version == "1.1.0"


def test_the_later_intention_wins_even_for_an_older_version() -> None:
    hotfix = rollout("r9", "1.0.0", Phase.FINISHED, hour=9)
    assert find_goal(ON_1_1, [MID, hotfix], LISTED).version == "1.0.0"


def test_a_finished_rollout_is_offered_only_where_it_was_tried() -> None:
    tried = replace(MID, passed={"a": 2})
    fresh = DeviceHistory(device_id="fresh", strata=STRATA)
    other = replace(fresh, strata=dict.fromkeys(STRATA, Stratum(variant="b")))
    assert find_goal(fresh, [tried], LISTED).version == "1.1.0"
    assert find_goal(other, [tried], LISTED) == KEEP
    assert find_goal(other, [replace(tried, vouched=2)], LISTED).version == "1.1.0"
    assert find_goal(replace(other, running="1.1.0"), [OLD, tried], LISTED) == KEEP


def test_a_variant_that_tried_a_part_of_a_finished_rollout_stays_at_that_stage() -> None:
    part = replace(MID, passed={"a": 2, "b": 0}, chosen=frozenset({"cam"}))
    strata = dict.fromkeys(STRATA, Stratum(variant="b"))
    cam, other = (DeviceHistory(device_id=d, strata=strata) for d in ("cam", "other"))
    assert find_goal(cam, [part], LISTED).version == "1.1.0"
    assert find_goal(other, [part], LISTED) == KEEP
