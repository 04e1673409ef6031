"""How a rollout moves, and what people may do to it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from edgekit.codec import convert, plain
from edgekit.errors import ConflictError, UsageError
from fleet_server.domain.assignment import Candidate
from fleet_server.domain.deployment import DeploymentState
from fleet_server.domain.errors import IllegalTransitionError
from fleet_server.domain.evidence import DeviceEvidence, Evidence, Role, Stratum
from fleet_server.domain.happenings import Happening, StageJudged, StageStarted
from fleet_server.domain.policy import GatePolicy, OnFail, OnInconclusive, RolloutPolicy, Stage
from fleet_server.domain.reach import includes
from fleet_server.domain.rollout import (
    TERMINAL_PHASES,
    Phase,
    Rollout,
    begin_anew,
    new_rollout,
    open_stage,
    step,
)
from fleet_server.domain.steering import abort, approve, pause, promote, resume

Make = Callable[..., DeviceEvidence]
Gather = Callable[..., Evidence]

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
STAGES = (
    Stage(devices_per_variant=1, bake_s=60, timeout_s=600, min_windows=10),
    Stage(percent=100, bake_s=60, timeout_s=600, min_windows=10),
)
POLICY = RolloutPolicy(stages=STAGES)
FLEET = [
    Candidate(
        device_id=f"d{i}",
        stratum=Stratum(variant="a"),
        last_polled_at=NOW,
        poll_interval_s=60,
        baseline_windows=9,
    )
    for i in range(4)
]


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def scheduled(policy: RolloutPolicy = POLICY, *, by: str = "eve") -> Rollout:
    return new_rollout(
        rollout_id="r1", model="digits", version="1.1.0", policy=policy, now=NOW, by=by
    )


def opened(policy: RolloutPolicy = POLICY) -> Rollout:
    started, _ = step(scheduled(policy), Evidence(), NOW)
    return open_stage(started, FLEET, NOW)[0]


def in_phase(phase: Phase) -> Rollout:
    return scheduled() if phase is Phase.SCHEDULED else replace(opened(), phase=phase)


def kinds(happenings: tuple[Happening, ...]) -> list[str]:
    return [happening.kind for happening in happenings]


@pytest.fixture
def good(canary: Make, gathered: Gather) -> Evidence:
    return gathered(canary("d1"))


@pytest.fixture
def bad(canary: Make, gathered: Gather) -> Evidence:
    return gathered(canary("d1", after_ms=None, outcome=DeploymentState.REVERTED))


def test_a_policy_that_cannot_be_carried_out_starts_nothing() -> None:
    with pytest.raises(UsageError, match="rollout of digits"):
        scheduled(RolloutPolicy(stages=(Stage(percent=5),)))


def test_a_rollout_starts_when_its_time_has_come() -> None:
    waiting = scheduled(replace(POLICY, not_before=at(60)))
    assert step(waiting, Evidence(), at(59)) == (waiting, ())
    started, happenings = step(waiting, Evidence(), at(60))
    assert started.phase is Phase.RUNNING
    assert started.needs_opening
    assert kinds(happenings) == ["rollout_started"]


def test_nobody_takes_part_before_the_first_stage_is_open(good: Evidence) -> None:
    started, _ = step(scheduled(), Evidence(), NOW)
    assert not any(includes(started, c.device_id, c.stratum) for c in FLEET)
    assert step(started, good, at(100)) == (started, ())


def test_opening_a_stage_chooses_once() -> None:
    started, _ = step(scheduled(), Evidence(), NOW)
    once, happenings = open_stage(started, FLEET, NOW)
    assert happenings == (StageStarted(stage=0, chosen=tuple(sorted(once.chosen))),)
    assert sum(includes(once, c.device_id, c.stratum) for c in FLEET) == 1
    assert open_stage(once, FLEET, at(1)) == (once, ())


def test_a_pass_after_the_bake_time_widens(good: Evidence) -> None:
    young, _ = step(opened(), good, at(59))
    assert (young.phase, young.stage_index) == (Phase.RUNNING, 0)
    widened, happenings = step(young, good, at(60))
    assert (widened.phase, widened.stage_index) == (Phase.RUNNING, 1)
    assert widened.needs_opening
    assert kinds(happenings) == ["stage_judged", "promoted"]


def test_while_the_next_stage_waits_the_one_before_it_counts(good: Evidence) -> None:
    widened, _ = step(opened(), good, at(60))
    assert {
        c.device_id for c in FLEET if includes(widened, c.device_id, c.stratum)
    } == widened.chosen
    wide, _ = open_stage(widened, FLEET, at(61))
    assert all(includes(wide, c.device_id, c.stratum) for c in FLEET)


def test_the_last_stage_finishes(good: Evidence) -> None:
    rollout, _ = step(opened(), good, at(60))
    rollout, _ = open_stage(rollout, FLEET, at(61))
    rollout, happenings = step(rollout, good, at(121))
    assert rollout.phase is Phase.FINISHED
    assert kinds(happenings) == ["stage_judged", "promoted", "finished"]


def test_a_fail_rolls_back_at_once(bad: Evidence) -> None:
    back, happenings = step(opened(), bad, at(1))
    assert back.phase is Phase.ROLLED_BACK
    assert kinds(happenings) == ["stage_judged", "rolled_back"]


def test_a_fail_pauses_where_the_policy_says_so(bad: Evidence) -> None:
    rollout = opened(replace(POLICY, on_fail=OnFail.PAUSE))
    paused, happenings = step(rollout, bad, at(1))
    assert paused.phase is Phase.PAUSED
    assert kinds(happenings) == ["stage_judged", "paused"]
    assert step(paused, bad, at(2)) == (paused, ())


def test_no_evidence_holds_after_the_timeout_and_never_widens() -> None:
    rollout = opened()
    assert step(rollout, Evidence(), at(599)) == (rollout, ())
    held, happenings = step(rollout, Evidence(), at(600))
    assert (held.phase, held.stage_index) == (Phase.HELD, 0)
    assert kinds(happenings) == ["stage_judged", "held"]
    assert step(held, Evidence(), at(9999)) == (held, ())


def test_a_held_rollout_does_not_go_on_by_itself(good: Evidence) -> None:
    held = replace(opened(), phase=Phase.HELD)
    assert step(held, good, at(9999)) == (held, ())


@pytest.mark.parametrize("phase", [Phase.HELD, Phase.PAUSED])
def test_a_broken_guard_rail_rolls_back_who_waits(phase: Phase, bad: Evidence) -> None:
    back, _ = step(replace(opened(), phase=phase), bad, at(1))
    assert back.phase is Phase.ROLLED_BACK


def test_a_resumed_stage_gets_its_whole_time_again(good: Evidence) -> None:
    held, _ = step(opened(), Evidence(), at(600))
    resumed, happenings = resume(held, by="ana", now=at(1000))
    assert kinds(happenings) == ["resumed"]
    assert step(resumed, Evidence(), at(1599))[0].phase is Phase.RUNNING
    assert step(resumed, good, at(1001))[0].stage_index == 1


def test_a_stage_that_begins_anew_bakes_again_and_promotes_nobody(good: Evidence) -> None:
    late = at(10**6)
    anew = begin_anew(opened(), now=late)
    assert step(anew, good, late) == (anew, ())
    again, happenings = open_stage(anew, FLEET, late)
    assert kinds(happenings) == ["stage_started"]
    assert again.chosen == anew.chosen
    assert step(again, good, late)[0].stage_index == 0
    assert step(again, good, late + timedelta(seconds=POLICY.stages[0].bake_s))[0].stage_index == 1


@pytest.mark.parametrize("phase", [Phase.HELD, Phase.PAUSED])
def test_who_waits_for_a_person_begins_anew_after_that(phase: Phase) -> None:
    anew = begin_anew(in_phase(phase), now=NOW)
    assert anew.phase is phase
    resumed, _ = resume(anew, by="bob", now=at(5))
    assert resumed.needs_opening


@pytest.mark.parametrize("rollout", [scheduled(), in_phase(Phase.FINISHED)])
def test_what_has_no_open_stage_does_not_begin_anew(rollout: Rollout) -> None:
    assert begin_anew(rollout, now=at(5)) is rollout


def test_each_planned_look_is_taken_and_told_once(canary: Make, gathered: Gather) -> None:
    half = gathered(canary("d1", windows=5))
    looked, happenings = step(opened(), half, at(10))
    assert looked.looks_taken == 2
    (judged,) = happenings
    assert isinstance(judged, StageJudged)
    assert judged.judgement.look == 2
    assert step(looked, half, at(11)) == (looked, ())


def test_looks_begin_anew_in_the_next_stage(good: Evidence) -> None:
    widened, _ = step(opened(), good, at(60))
    assert widened.looks_taken == 0


@pytest.mark.parametrize("phase", sorted(TERMINAL_PHASES))
def test_terminal_phases_stay(phase: Phase, good: Evidence, bad: Evidence) -> None:
    ended = in_phase(phase)
    for evidence in (good, bad, Evidence()):
        assert step(ended, evidence, at(9999)) == (ended, ())
    assert open_stage(ended, FLEET, at(9999)) == (ended, ())


VERBS: dict[str, Callable[[Rollout], tuple[Rollout, tuple[Happening, ...]]]] = {
    "pause": lambda rollout: pause(rollout, by="ana", now=at(5)),
    "resume": lambda rollout: resume(rollout, by="ana", now=at(5)),
    "promote": lambda rollout: promote(rollout, by="ana", now=at(5)),
    "abort": lambda rollout: abort(rollout, by="ana", now=at(5)),
}
ALLOWED = {
    ("pause", Phase.SCHEDULED): Phase.PAUSED,
    ("pause", Phase.RUNNING): Phase.PAUSED,
    ("pause", Phase.HELD): Phase.PAUSED,
    ("pause", Phase.PAUSED): Phase.PAUSED,
    ("resume", Phase.RUNNING): Phase.RUNNING,
    ("resume", Phase.HELD): Phase.RUNNING,
    ("resume", Phase.PAUSED): Phase.RUNNING,
    ("promote", Phase.RUNNING): Phase.RUNNING,
    ("promote", Phase.HELD): Phase.RUNNING,
    ("promote", Phase.PAUSED): Phase.RUNNING,
    ("abort", Phase.SCHEDULED): Phase.ABORTED,
    ("abort", Phase.RUNNING): Phase.ABORTED,
    ("abort", Phase.HELD): Phase.ABORTED,
    ("abort", Phase.PAUSED): Phase.ABORTED,
    ("abort", Phase.ABORTED): Phase.ABORTED,
}


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("verb", list(VERBS))
def test_people_may_do_what_the_phase_allows(verb: str, phase: Phase) -> None:
    rollout = in_phase(phase)
    if (verb, phase) not in ALLOWED:
        with pytest.raises(IllegalTransitionError, match="rollout r1"):
            VERBS[verb](rollout)
        return
    after, happenings = VERBS[verb](rollout)
    assert after.phase is ALLOWED[verb, phase]
    assert (after is rollout) == (happenings == ())


def test_a_promotion_says_who_answers_for_it() -> None:
    widened, happenings = promote(opened(), by="ana", now=at(5))
    assert (widened.stage_index, widened.needs_opening) == (1, True)
    assert [getattr(h, "by", "") for h in happenings] == ["ana"]


def test_a_stage_that_is_not_open_cannot_be_promoted() -> None:
    widened, _ = promote(opened(), by="ana", now=at(5))
    with pytest.raises(IllegalTransitionError):
        promote(widened, by="ana", now=at(6))


def test_a_paused_start_still_waits_for_its_time() -> None:
    paused, _ = pause(scheduled(replace(POLICY, not_before=at(60))), by="ana", now=at(1))
    resumed, _ = resume(paused, by="ana", now=at(2))
    assert step(resumed, Evidence(), at(3))[0].phase is Phase.SCHEDULED
    assert step(resumed, Evidence(), at(60))[0].phase is Phase.RUNNING


def test_nobody_can_join_holds_after_the_timeout() -> None:
    started, _ = step(scheduled(), Evidence(), NOW)
    empty, _ = open_stage(started, [], NOW)
    assert empty.chosen == frozenset()
    assert step(empty, Evidence(), at(600))[0].phase is Phase.HELD


def test_a_rollout_survives_being_stored() -> None:
    rollout = opened(replace(POLICY, gate=GatePolicy(latency_budget_ms=40)))
    assert convert(plain(rollout), Rollout, where="store") == rollout


LATE = Candidate(
    device_id="late",
    stratum=Stratum(variant="b"),
    last_polled_at=NOW,
    poll_interval_s=60,
    baseline_windows=9,
)


def test_a_variant_that_comes_later_climbs_the_same_stages(
    canary: Make, gathered: Gather, good: Evidence
) -> None:
    widened, _ = step(opened(), good, at(60))
    wide, _ = open_stage(widened, FLEET, at(61))
    assert not includes(wide, "late", LATE.stratum)
    everybody = [canary(c.device_id) for c in FLEET]
    with_late = gathered(*everybody, canary("late", variant="b", role=Role.CONTROL))
    noticed, _ = step(wide, with_late, at(130))
    assert noticed.needs_opening
    again, (happening,) = open_stage(noticed, [*FLEET, LATE], at(131))
    assert happening == StageStarted(stage=1, chosen=("late",), late=("b",))
    assert includes(again, "late", LATE.stratum)
    assert not includes(again, "later", LATE.stratum)
    assert all(includes(again, c.device_id, c.stratum) for c in FLEET)
    proven = gathered(*everybody, canary("late", variant="b"))
    climbed, happenings = step(again, proven, at(300))
    assert kinds(happenings) == ["stage_judged"]
    assert (climbed.phase, climbed.stage_index) == (Phase.RUNNING, 1)
    top, _ = open_stage(climbed, [*FLEET, LATE], at(301))
    assert includes(top, "later", LATE.stratum)
    finished, _ = step(top, proven, at(400))
    assert finished.phase is Phase.FINISHED


def test_a_person_vouches_for_every_variant(good: Evidence) -> None:
    promoted, _ = promote(opened(), by="ana", now=at(1))
    wide, _ = open_stage(promoted, FLEET, at(2))
    assert includes(wide, "any", Stratum(variant="never seen"))


def test_a_stage_by_selector_reaches_whom_it_names_and_they_stay() -> None:
    stages = (
        Stage(selector="ring=canary", bake_s=60, timeout_s=600, min_windows=10),
        Stage(percent=1, bake_s=60, timeout_s=600, min_windows=10),
        Stage(percent=100, bake_s=60, timeout_s=600, min_windows=10),
    )
    ring = [replace(c, labels={"ring": "canary"}) if c.device_id == "d2" else c for c in FLEET]
    started, _ = step(scheduled(RolloutPolicy(stages=stages)), Evidence(), NOW)
    open_, _ = open_stage(started, ring, NOW)
    taking = [c.device_id for c in ring if includes(open_, c.device_id, c.stratum, c.labels)]
    assert taking == ["d2"]
    second, _ = open_stage(promote(open_, by="ana", now=at(1))[0], ring, at(2))
    assert includes(second, "d2", ring[2].stratum, ring[2].labels)


def test_who_started_a_rollout_cannot_approve_it() -> None:
    stages = (replace(STAGES[0], approval=True), STAGES[1])
    started, _ = step(scheduled(RolloutPolicy(stages=stages)), Evidence(), NOW)
    assert started.awaits_approval
    assert open_stage(started, FLEET, NOW) == (started, ())
    with pytest.raises(ConflictError, match="somebody else"):
        approve(started, by="eve", now=at(1))
    approved, (happening,) = approve(started, by="bob", now=at(1))
    assert happening.kind == "approved"
    assert approve(approved, by="bob", now=at(2)) == (approved, ())
    assert open_stage(approved, FLEET, at(2))[0].stage_started_at == at(2)
    with pytest.raises(IllegalTransitionError):
        approve(opened(), by="bob", now=at(1))


def test_a_holdback_stays_until_the_rollout_is_finished() -> None:
    policy = replace(POLICY, holdback=30.0)
    wide = replace(opened(policy), stage_index=1, passed={"a": 1})
    ids = [f"device-{i}" for i in range(500)]
    kept = [d for d in ids if not includes(wide, d, Stratum(variant="a"))]
    assert 100 < len(kept) < 200
    finished = replace(wide, phase=Phase.FINISHED)
    assert all(includes(finished, d, None) for d in ids)


def test_an_inconclusive_stage_is_extended_once_and_then_held(
    canary: Make, gathered: Gather
) -> None:
    rollout = opened(replace(POLICY, on_inconclusive=OnInconclusive.EXTEND))
    nothing = gathered(canary("d1", windows=0, inferences=0, after_ms=None))
    longer, happenings = step(rollout, nothing, at(600))
    assert (longer.phase, longer.extended) == (Phase.RUNNING, 1)
    assert kinds(happenings) == ["stage_judged", "extended"]
    assert step(longer, nothing, at(1199))[0].phase is Phase.RUNNING
    held, _ = step(longer, nothing, at(1200))
    assert held.phase is Phase.HELD
