"""What a gate answers to which evidence."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edgekit.verdict import Verdict
from fleet_server.domain.deployment import DeploymentState
from fleet_server.domain.evidence import (
    DeviceEvidence,
    Evidence,
    LeftOut,
    Population,
    Role,
    Stratum,
)
from fleet_server.domain.gate import is_judged, judge, looks_due
from fleet_server.domain.guard_rails import silent_devices
from fleet_server.domain.judgement import CheckName, Judgement
from fleet_server.domain.policy import GateMode, GatePolicy, Stage

Make = Callable[..., DeviceEvidence]
Gather = Callable[..., Evidence]

GATE = GatePolicy()
STAGE = Stage(percent=50, min_windows=10)
WIGGLE = (0.97, 1.0, 1.03)


def last(evidence: Evidence, gate: GatePolicy = GATE) -> Judgement:
    return judge(gate, STAGE, evidence, look=gate.looks)


def verdict_of(judgement: Judgement, name: CheckName) -> Verdict:
    (check,) = [check for check in judgement.checks if check.name is name]
    return check.verdict


def fleet(
    canary: Make, control: Make, *, slower: float = 1.0, canaries: int = 3, **said: Any
) -> list[DeviceEvidence]:
    devices = [
        canary(f"c{i}", after_ms=20 * slower * WIGGLE[i % 3], **said) for i in range(canaries)
    ]
    return devices + [control(f"k{i}", after_ms=20 * WIGGLE[i % 3]) for i in range(12)]


def test_a_good_release_passes_at_the_last_look(canary, control, gathered) -> None:
    judgement = last(gathered(*fleet(canary, control)))
    assert judgement.verdict is Verdict.PASS
    assert "3 canaries against 12 controls" in judgement.sentence
    assert "would have been seen" in judgement.sentence


def test_nothing_passes_before_the_last_look(canary, control, gathered) -> None:
    evidence = gathered(*fleet(canary, control))
    for look in range(GATE.looks):
        assert judge(GATE, STAGE, evidence, look=look).verdict is Verdict.PENDING


@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        pytest.param(Evidence(), "No reachable device", id="nobody-there"),
        pytest.param(
            Evidence(populations=(Population(stratum=Stratum(variant="a"), reachable=5,
                                             taking_part=0),)),
            "none of 5 reachable devices takes part",
            id="nobody-takes-part",
        ),
        pytest.param(
            Evidence(populations=(Population(stratum=Stratum(variant="a"), reachable=5,
                                             taking_part=2),)),
            "0 of 2 devices committed",
            id="nobody-reported",
        ),
    ],
)  # fmt: skip
def test_no_evidence_is_pending_then_inconclusive_and_never_a_pass(evidence, why) -> None:
    waiting = last(evidence)
    over = judge(GATE, STAGE, evidence, look=GATE.looks, timed_out=True)
    assert waiting.verdict is Verdict.PENDING
    assert over.verdict is Verdict.INCONCLUSIVE
    assert why in over.sentence
    assert "time is over" in over.sentence


def test_too_few_windows_are_no_evidence(canary, gathered) -> None:
    evidence = gathered(canary("c", windows=9))
    assert verdict_of(last(evidence), CheckName.EVIDENCE) is Verdict.PENDING


@pytest.mark.parametrize(
    ("said", "judged"),
    [
        ({}, True),
        ({"windows": 9}, False),
        ({"after_ms": None}, False),
        ({"outcome": DeploymentState.ACTIVATED}, False),
        ({"outcome": DeploymentState.REPORTED}, False),
        ({"outcome": DeploymentState.UNEXERCISED}, True),
        ({"role": Role.CONTROL}, False),
    ],
    ids=[
        "whole",
        "short",
        "no-windows",
        "on-probation",
        "foreign",
        "traffic-came-later",
        "control",
    ],
)
def test_a_device_is_judged_when_it_committed_and_worked(canary, said, judged) -> None:
    assert is_judged(STAGE, canary("c", **said)) is judged


def test_a_variant_without_evidence_of_its_own_does_not_pass(canary, control, gathered) -> None:
    other = canary("x", variant="b", after_ms=None, outcome=DeploymentState.OFFERED)
    judgement = last(gathered(*fleet(canary, control), other))
    assert judgement.verdict is Verdict.PENDING
    assert judgement.sentence.startswith("b:")


def test_a_variant_whose_canaries_are_all_out_of_reach_is_waited_for(
    canary, control, gathered
) -> None:
    seen = gathered(*fleet(canary, control))
    lost = canary("x", variant="b", after_ms=None)
    evidence = Evidence(devices=(*seen.devices, lost), populations=seen.populations)
    assert last(evidence).verdict is Verdict.PENDING
    assert looks_due(GATE, STAGE, evidence, baked=True) < GATE.looks


def test_half_of_the_devices_of_a_variant_must_report_by_default(canary, gathered) -> None:
    reported = [canary(f"c{i}") for i in range(2)]
    offered = [canary(f"o{i}", after_ms=None, outcome=DeploymentState.OFFERED) for i in range(3)]
    assert last(gathered(*reported, *offered[:2])).verdict is Verdict.PASS
    assert last(gathered(*reported, *offered)).verdict is Verdict.PENDING


def test_a_slower_release_fails_on_the_comparison(canary, control, gathered) -> None:
    judgement = judge(GATE, STAGE, gathered(*fleet(canary, control, slower=1.5)), look=1)
    assert judgement.verdict is Verdict.FAIL
    assert verdict_of(judgement, CheckName.RELATIVE_LATENCY) is Verdict.FAIL
    assert verdict_of(judgement, CheckName.LATENCY_TIMES_BEFORE) is Verdict.PASS


def test_a_slowdown_of_everybody_is_not_the_release(canary, control, gathered) -> None:
    devices = [canary(f"c{i}", after_ms=40 * WIGGLE[i % 3]) for i in range(3)]
    devices += [control(f"k{i}", after_ms=40 * WIGGLE[i % 3]) for i in range(12)]
    assert last(gathered(*devices)).verdict is Verdict.PASS


def test_latency_is_compared_only_at_planned_looks(canary, control, gathered) -> None:
    judgement = judge(GATE, STAGE, gathered(*fleet(canary, control, slower=1.5)), look=0)
    assert judgement.verdict is Verdict.PENDING
    assert CheckName.RELATIVE_LATENCY not in {check.name for check in judgement.checks}


def test_many_canaries_must_prove_and_an_open_question_is_inconclusive(
    canary, control, gathered
) -> None:
    evidence = gathered(*fleet(canary, control, slower=1.08, canaries=10))
    judgement = last(evidence)
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert "not proven" in judgement.sentence
    assert judge(GATE, STAGE, evidence, look=4).verdict is Verdict.PENDING
    forgiving = GatePolicy(mode=GateMode.MUST_NOT_FAIL)
    assert last(evidence, forgiving).verdict is Verdict.PASS


def test_many_canaries_that_prove_it_pass(canary, control, gathered) -> None:
    assert last(gathered(*fleet(canary, control, canaries=10))).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("canaries", "controls", "why"),
    [
        pytest.param(2, 9, "2 canaries and 9 controls", id="too-few-canaries"),
        pytest.param(9, 2, "9 canaries and 2 controls", id="too-few-controls"),
        pytest.param(9, 0, "there are no controls", id="a-stage-of-100-percent"),
    ],
)
def test_without_a_comparison_absolute_budgets_decide_and_it_says_so(
    canary, control, gathered, canaries, controls, why
) -> None:
    devices = [canary(f"c{i}") for i in range(canaries)]
    devices += [control(f"k{i}") for i in range(controls)]
    judgement = last(gathered(*devices))
    assert judgement.verdict is Verdict.PASS
    assert f"absolute budgets only, because {why}" in judgement.sentence
    assert "only from +200% on" in judgement.sentence


def test_a_first_install_has_absolute_budgets_only(canary, gathered) -> None:
    first = gathered(*[canary(f"c{i}", before_ms=None, after_ms=90) for i in range(4)])
    judgement = last(first)
    assert judgement.verdict is Verdict.PASS
    assert "a first install has no baseline" in judgement.sentence
    assert "no latency budget is set" in judgement.sentence
    assert last(first, GatePolicy(latency_budget_ms=80)).verdict is Verdict.FAIL


def test_who_asks_for_proof_gets_no_pass_from_too_few_devices(canary, control, gathered) -> None:
    evidence = gathered(canary("c"), *[control(f"k{i}") for i in range(9)])
    assert last(evidence, GatePolicy(mode=GateMode.MUST_PROVE)).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    "outcome", [DeploymentState.REJECTED, DeploymentState.REVERTED, DeploymentState.FAILED]
)
def test_more_failed_devices_than_allowed_fail_at_once(canary, gathered, outcome) -> None:
    evidence = gathered(canary("good"), canary("bad", after_ms=None, outcome=outcome))
    judgement = judge(GATE, STAGE, evidence, look=0)
    assert judgement.verdict is Verdict.FAIL
    assert judgement.sentence == "1 of 2 canaries failed, 0 may: bad."
    assert last(evidence, GatePolicy(max_failed_devices=1)).verdict is Verdict.PASS


def test_a_withdrawn_offer_is_no_failure(canary, gathered) -> None:
    withdrawn = canary("w", after_ms=None, outcome=DeploymentState.WITHDRAWN)
    assert judge(GATE, STAGE, gathered(withdrawn), look=0).verdict is Verdict.PENDING


def test_a_canary_much_slower_than_itself_before_fails_without_controls(canary, gathered) -> None:
    evidence = gathered(canary("c", after_ms=61, windows=2))
    judgement = judge(GATE, STAGE, evidence, look=0)
    assert judgement.verdict is Verdict.FAIL
    assert "slower than 3 times its own before" in judgement.sentence


def test_a_single_window_of_many_is_too_early_for_a_latency(canary, gathered) -> None:
    evidence = gathered(canary("c", after_ms=500, windows=1))
    assert judge(GATE, STAGE, evidence, look=0).verdict is Verdict.PENDING


def test_many_errors_fail_at_once(canary, gathered) -> None:
    judgement = judge(GATE, STAGE, gathered(canary("c", errors=60)), look=0)
    assert judgement.verdict is Verdict.FAIL
    assert "6.00% errors" in judgement.sentence


@pytest.mark.parametrize(
    ("errors", "inferences"), [(1, 1), (4, 4), (21, 1000)], ids=["one", "four", "above-but-unsure"]
)
def test_few_errors_do_not_fail(canary, gathered, errors: int, inferences: int) -> None:
    evidence = gathered(canary("c", errors=errors, inferences=inferences))
    assert verdict_of(last(evidence), CheckName.ERROR_RATE) is Verdict.PASS


def test_a_canary_that_dies_silently_fails(canary, control, gathered) -> None:
    dead = canary("dead", silent=True)
    evidence = gathered(dead, *[control(f"k{i}") for i in range(5)])
    judgement = judge(GATE, STAGE, evidence, look=0)
    assert verdict_of(judgement, CheckName.SILENT_DEVICES) is Verdict.FAIL


def test_a_site_outage_is_not_a_failure(canary, control, gathered) -> None:
    osaka = [canary("c1", site="osaka", silent=True), control("k1", site="osaka", silent=True)]
    kyoto = [canary("c2", site="kyoto"), *[control(f"q{i}", site="kyoto") for i in range(5)]]
    judgement = judge(GATE, STAGE, gathered(*osaka, *kyoto), look=0)
    assert verdict_of(judgement, CheckName.SILENT_DEVICES) is Verdict.PASS


def test_an_outage_elsewhere_does_not_excuse_a_dead_canary(canary, control, gathered) -> None:
    osaka = [control(f"k{i}", site="osaka", silent=True) for i in range(5)]
    kyoto = [canary("c", site="kyoto", silent=True), control("q", site="kyoto")]
    judgement = judge(GATE, STAGE, gathered(*osaka, *kyoto), look=0)
    assert verdict_of(judgement, CheckName.SILENT_DEVICES) is Verdict.FAIL


def test_canaries_silent_as_often_as_controls_are_no_failure(canary, control, gathered) -> None:
    devices = [canary(f"c{i}", silent=i < 2) for i in range(20)]
    devices += [control(f"k{i}", silent=i < 2) for i in range(20)]
    judgement = judge(GATE, STAGE, gathered(*devices), look=0)
    assert verdict_of(judgement, CheckName.SILENT_DEVICES) is Verdict.PASS


def test_fisher_finds_what_a_generous_limit_lets_through(canary, control, gathered) -> None:
    devices = [canary(f"c{i}", silent=i < 6) for i in range(10)]
    devices += [control(f"k{i}") for i in range(40)]
    judgement = judge(GatePolicy(max_failed_devices=9), STAGE, gathered(*devices), look=0)
    assert verdict_of(judgement, CheckName.SILENT_DEVICES) is Verdict.FAIL


def test_silence_without_controls_is_never_a_pass_nor_a_failure(canary, gathered) -> None:
    evidence = gathered(canary("c1"), canary("c2", silent=True))
    assert last(evidence).verdict is Verdict.PENDING
    assert looks_due(GATE, STAGE, evidence, baked=True) < GATE.looks
    over = judge(GATE, STAGE, evidence, look=0, timed_out=True)
    assert over.verdict is Verdict.INCONCLUSIVE


def test_a_device_fails_at_most_once(canary, control, gathered) -> None:
    bad = canary("bad", after_ms=None, outcome=DeploymentState.REVERTED, silent=True)
    evidence = gathered(bad, canary("good"), *[control(f"k{i}") for i in range(5)])
    assert last(evidence, GatePolicy(max_failed_devices=1)).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("windows", "baked", "look"),
    [(0, False, 0), (1, False, 0), (2, False, 1), (5, False, 2), (10, False, 4), (99, False, 4),
     (9, True, 4), (10, True, 5)],
)  # fmt: skip
def test_looks_are_counted_in_device_windows(canary, gathered, windows, baked, look) -> None:
    evidence = gathered(*[canary(f"c{i}", windows=windows) for i in range(2)])
    assert looks_due(GATE, Stage(percent=100, min_windows=10, min_reporting=1), evidence,
                     baked=baked) == look  # fmt: skip


def test_one_busy_device_does_not_bring_the_looks_of_another(canary, gathered) -> None:
    stage = Stage(percent=100, min_windows=10, min_reporting=1)
    evidence = gathered(canary("c", windows=500), canary("d", windows=0, after_ms=None))
    assert looks_due(GATE, stage, evidence, baked=True) == 2


def test_without_devices_no_look_is_due() -> None:
    assert looks_due(GATE, STAGE, Evidence(), baked=True) == 0


def test_each_check_carries_the_numbers_it_came_from(canary, control, gathered) -> None:
    judgement = last(gathered(*fleet(canary, control)))
    (relative,) = [c for c in judgement.checks if c.name is CheckName.RELATIVE_LATENCY]
    assert relative.variant == "a"
    assert relative.numbers["canaries"] == 3
    assert relative.numbers["low"] < relative.numbers["slowdown"] < relative.numbers["high"]
    assert relative.numbers["visible_slowdown"] > GATE.margin


def test_canaries_out_of_reach_count_for_the_looks(canary, gathered) -> None:
    lost = Evidence(devices=(canary("x", windows=5),))
    assert looks_due(GATE, STAGE, lost, baked=False) == 2


def test_a_dead_canary_alone_at_its_site_is_compared_with_all_controls(
    canary, control, gathered
) -> None:
    alone = canary("c", site="kyoto", silent=True)
    evidence = gathered(alone, *[control(f"k{i}", site="osaka") for i in range(5)])
    judgement = judge(GATE, STAGE, evidence, look=0)
    assert verdict_of(judgement, CheckName.SILENT_DEVICES) is Verdict.FAIL


def test_an_outage_where_most_canaries_are_is_no_failure(canary, control, gathered) -> None:
    osaka = [canary(f"c{i}", site="osaka", silent=True) for i in range(8)]
    osaka += [control(f"k{i}", site="osaka", silent=True) for i in range(2)]
    kyoto = [canary(f"d{i}", site="kyoto") for i in range(2)]
    kyoto += [control(f"q{i}", site="kyoto") for i in range(30)]
    judgement = judge(GATE, STAGE, gathered(*osaka, *kyoto), look=0)
    assert verdict_of(judgement, CheckName.SILENT_DEVICES) is Verdict.PASS


def test_failed_and_silent_devices_count_together(canary, control, gathered) -> None:
    bad = canary("bad", after_ms=None, outcome=DeploymentState.REVERTED)
    dead = canary("dead", silent=True)
    evidence = gathered(bad, dead, *[control(f"k{i}") for i in range(30)])
    assert last(evidence, GatePolicy(max_failed_devices=1)).verdict is Verdict.FAIL
    two = judge(GatePolicy(max_failed_devices=2), STAGE, evidence, look=0)
    assert verdict_of(two, CheckName.SILENT_DEVICES) is Verdict.PASS


def test_proof_is_given_at_the_last_look_only(canary, control, gathered) -> None:
    early = judge(GATE, STAGE, gathered(*fleet(canary, control, canaries=10)), look=1)
    assert verdict_of(early, CheckName.RELATIVE_LATENCY) is Verdict.PENDING


def test_where_nothing_can_be_proven_absolute_budgets_are_enough(canary, gathered) -> None:
    whole = gathered(*[canary(f"c{i}") for i in range(4)])
    judgement = last(whole, GatePolicy(mode=GateMode.MUST_PROVE))
    assert judgement.verdict is Verdict.PASS
    assert "there are no controls" in judgement.sentence


def test_a_stage_waits_for_devices_on_probation(canary: Make, gathered: Gather) -> None:
    trying = canary("late", outcome=DeploymentState.ACTIVATED)
    evidence = gathered(canary("a"), canary("b"), trying)
    assert looks_due(GATE, STAGE, evidence, baked=True) < GATE.looks
    judged = judge(GATE, STAGE, evidence, look=GATE.looks)
    assert judged.verdict is Verdict.PENDING
    assert "1 of 3 canaries are still on probation" in judged.sentence
    silent = gathered(canary("a"), canary("b"), replace(trying, silent=True))
    assert CheckName.ON_TRIAL not in {c.name for c in judge(GATE, STAGE, silent, look=0).checks}


def test_who_is_left_out_is_told_and_decides_nothing(canary: Make, gathered: Gather) -> None:
    evidence = gathered(canary("a"), canary("b"))
    some = replace(evidence, left_out={"c": LeftOut.OTHER_MODEL_CHANGED})
    (told,) = [c for c in judge(GATE, STAGE, some, look=0).checks if c.name is CheckName.LEFT_OUT]
    assert told.verdict is Verdict.PASS
    assert "1 (another of its models changed)" in told.sentence


def test_a_flood_of_one_device_hides_no_errors_of_the_others(
    canary: Make, gathered: Gather
) -> None:
    bad = [canary(f"c{i}", inferences=1000, errors=100) for i in range(3)]
    flood = canary("flood", inferences=10**9, windows=10**6)
    honest = judge(GATE, STAGE, gathered(*bad), look=0)
    flooded = judge(GATE, STAGE, gathered(*bad, flood), look=0)
    assert verdict_of(honest, CheckName.ERROR_RATE) is Verdict.FAIL
    (check,) = [c for c in flooded.checks if c.name is CheckName.ERROR_RATE]
    assert check.verdict is Verdict.FAIL
    assert check.numbers["inferences"] == 3 * 1000 + 10 * 1000


def test_a_flood_counts_as_one_device_at_the_looks(canary: Make, gathered: Gather) -> None:
    some = [canary(f"c{i}", windows=1) for i in range(9)]
    flooded = gathered(canary("flood", windows=10**6), *some)
    quiet = gathered(canary("flood", windows=STAGE.min_windows), *some)
    assert looks_due(GATE, STAGE, flooded, baked=True) == looks_due(GATE, STAGE, quiet, baked=True)


def test_an_outage_that_silences_the_canary_first_is_waited_for(canary, control, gathered) -> None:
    dead = canary("dead", site="osaka", silent=True)
    late = replace(control("late", site="osaka"), overdue=True)
    fine = [control(f"k{i}", site="kyoto") for i in range(4)]
    check = silent_devices(GATE, gathered(dead, late, *fine))
    assert check.verdict is Verdict.PENDING
    assert "1 controls are overdue" in check.sentence
    out = replace(late, overdue=False, silent=True)
    assert silent_devices(GATE, gathered(dead, out, *fine)).verdict is Verdict.PASS
    alive = replace(late, overdue=False)
    assert silent_devices(GATE, gathered(dead, alive, *fine)).verdict is Verdict.FAIL
