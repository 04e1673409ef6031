"""The short form of benchmarks/gate_power.py: few false alarms, enough power, good ones pass."""

import math

import numpy as np
import pytest

from benchmarks.gate_power import (
    DESIGNS,
    MINUTES,
    OURS,
    USUAL,
    Cell,
    five_looks,
    measure,
    measure_error_budget,
    measure_family,
    simulate,
)
from edgekit.verdict import Verdict
from fleet_server.domain.deployment import DeploymentState
from fleet_server.domain.evidence import (
    DeviceEvidence,
    Evidence,
    Population,
    Role,
    Stratum,
    Summary,
)
from fleet_server.domain.gate import judge, looks_due
from fleet_server.domain.policy import GatePolicy, Stage

pytestmark = pytest.mark.slow

BESIDE = "device t, 5 looks, latency beside five"
NO_MARGIN, DEFAULT = "device t, 5 looks, no margin", "device t, 5 looks, default"


def shares(results: list[Cell], answer: str) -> dict[tuple[str, int, float], float]:
    return {(r.method, r.canaries, r.effect): r.share for r in results if r.answer == answer}


@pytest.mark.parametrize("rho", [0.8, 0.97], ids=["slow-weather", "slower-weather"])
def test_false_alarms_are_at_most_five_percent(rho: float) -> None:
    failed = shares(measure(trials=600, slowdowns=(0.0,), methods=OURS, rho=rho), "fail")
    assert len(failed) == len(OURS) * len(DESIGNS)
    assert max(failed.values()) <= 0.05


def test_six_metrics_together_raise_as_few_false_alarms_as_one() -> None:
    assert max(cell.share for cell in measure_family(trials=150)) <= 0.05


def test_the_default_has_few_false_alarms_when_only_canaries_shift() -> None:
    results = measure(trials=400, slowdowns=(0.0,), methods=OURS, control_shift=0.0)
    failed = shares(results, "fail")
    assert max(failed[f"{DEFAULT}, steady controls", n, 0.0] for n, _ in DESIGNS) <= 0.01


def test_the_usual_gates_stop_many_good_releases() -> None:
    results = measure(trials=200, designs=((1, 5), (3, 10)), slowdowns=(0.0,), methods=USUAL)
    assert min(shares(results, "fail").values()) > 0.20


@pytest.mark.parametrize(
    ("method", "canaries", "effect", "floor"),
    [
        pytest.param(NO_MARGIN, 1, 0.5, 0.98, id="1-v-5-plus-50"),
        pytest.param(NO_MARGIN, 3, 0.1, 0.70, id="3-v-10-plus-10"),
        pytest.param(NO_MARGIN, 3, 0.2, 0.98, id="3-v-10-plus-20"),
        pytest.param(NO_MARGIN, 5, 0.1, 0.93, id="5-v-20-plus-10"),
        pytest.param(DEFAULT, 3, 0.5, 0.98, id="default-3-v-10-plus-50"),
        pytest.param(DEFAULT, 5, 0.2, 0.88, id="default-5-v-20-plus-20"),
        pytest.param(BESIDE, 3, 0.2, 0.60, id="beside-five-3-v-10-plus-20"),
        pytest.param(BESIDE, 5, 0.2, 0.88, id="beside-five-5-v-20-plus-20"),
        pytest.param(DEFAULT, 10, 0.2, 0.98, id="default-10-v-50-plus-20"),
    ],
)
def test_slow_releases_are_found(method: str, canaries: int, effect: float, floor: float) -> None:
    design = next(design for design in DESIGNS if design[0] == canaries)
    results = measure(
        trials=250, designs=(design,), slowdowns=(effect,), methods={method: OURS[method]}
    )
    assert shares(results, "fail")[method, canaries, effect] >= floor


def test_good_releases_pass_in_each_default_mode() -> None:
    results = measure(
        trials=400, designs=((3, 10), (10, 50)), slowdowns=(0.0,), methods={DEFAULT: OURS[DEFAULT]}
    )
    passed = shares(results, "pass")
    assert passed[DEFAULT, 3, 0.0] >= 0.9
    assert passed[DEFAULT, 10, 0.0] >= 0.9


def test_the_error_budget_sees_four_times_the_base_rate_and_never_the_base_rate() -> None:
    failed = shares(measure_error_budget(trials=400), "fail")
    for canaries in (3, 10):
        assert failed["Wilson bound over 2 % errors", canaries, 1.0] == 0.0
        assert failed["Wilson bound over 2 % errors", canaries, 4.0] >= 0.9


@pytest.mark.parametrize("slowdown", [0.0, 0.2])
def test_the_simulation_judges_as_the_server_does(slowdown: float) -> None:
    gate = GatePolicy()
    rng = np.random.default_rng(5)
    answers = set()
    for _ in range(15):
        fleet = simulate(rng, canaries=4, controls=8, slowdown=slowdown)
        answers.add(five_looks(fleet, gate))
        assert five_looks(fleet, gate) == whole_gate(fleet.canaries, fleet.controls, gate)
    assert answers == ({"pass"} if slowdown == 0.0 else {"fail", "pass"})


def whole_gate(canaries: np.ndarray, controls: np.ndarray, gate: GatePolicy) -> str:
    """Feed the same windows through evidence, looks and judge, minute by minute."""
    stage = Stage(percent=50, min_windows=MINUTES, min_reporting=1)
    taken = 0
    for minute in range(1, MINUTES + 1):
        evidence = gather(canaries, controls, minute)
        due = looks_due(gate, stage, evidence, baked=minute == MINUTES)
        if due > taken:
            taken = due
            verdict = judge(gate, stage, evidence, look=due).verdict
            if verdict is not Verdict.PENDING:
                return str(verdict)
    raise AssertionError("the last look is due when the stage has baked")


def gather(canaries: np.ndarray, controls: np.ndarray, minute: int) -> Evidence:
    devices = [device(f"c{i}", Role.CANARY, logs, minute) for i, logs in enumerate(canaries)]
    devices += [device(f"k{i}", Role.CONTROL, logs, minute) for i, logs in enumerate(controls)]
    population = Population(
        stratum=Stratum(variant="a"), reachable=len(devices), taking_part=len(canaries)
    )
    return Evidence(devices=tuple(devices), populations=(population,))


def device(name: str, role: Role, logs: np.ndarray, minute: int) -> DeviceEvidence:
    return DeviceEvidence(
        device_id=name,
        stratum=Stratum(variant="a"),
        role=role,
        outcome=DeploymentState.COMMITTED if role is Role.CANARY else None,
        before=summary(logs[:MINUTES]),
        after=summary(logs[MINUTES : MINUTES + minute]),
    )


def summary(logs: np.ndarray) -> Summary:
    return Summary(
        windows=len(logs),
        inferences=len(logs),
        latencies=len(logs),
        sum_log_latency=math.fsum(logs),
        sum_sq_log_latency=math.fsum(logs * logs),
    )
