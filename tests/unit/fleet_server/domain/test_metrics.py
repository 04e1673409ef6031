"""Several metrics at one look: the tail, errors, memory, and what neighbours lose."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgekit.verdict import Verdict
from fleet_server.domain.evidence import DeviceEvidence, Evidence, Neighbour, Role, Stratum, Summary
from fleet_server.domain.judgement import CheckName
from fleet_server.domain.metrics import holm, weights
from fleet_server.domain.policy import GatePolicy, Stage
from fleet_server.domain.relative import relative

STAGE = Stage(percent=50, min_windows=10)
A = Stratum(variant="a")


def summary(
    *, ms: float = 20.0, tail: float = 1.5, errors: float = 0, mb: float = 100.0
) -> Summary:
    return Summary(
        windows=10,
        inferences=1000,
        errors=int(errors),
        latencies=1000,
        sum_log_latency=1000 * math.log(ms),
        tails=10,
        sum_log_p95=10 * math.log(ms * tail),
        sum_rss_mb=10 * mb,
    )


def device(name: str, role: Role, wiggle: float, **after: float) -> DeviceEvidence:
    neighbour = {k.removeprefix("next_"): v for k, v in after.items() if k.startswith("next_")}
    own = {k: v for k, v in after.items() if not k.startswith("next_")}
    ms, mb = own.pop("ms", 20.0) * wiggle, own.pop("mb", 100.0) * wiggle
    said = {"ms": neighbour.get("ms", 5.0) * wiggle, "mb": neighbour.get("mb", 50.0) * wiggle}
    return DeviceEvidence(
        device_id=name,
        stratum=A,
        role=role,
        before=summary(),
        after=summary(ms=ms, mb=mb, **own),
        neighbours=(Neighbour(before=summary(ms=5.0, mb=50.0), after=summary(**said)),),
    )


def judged(gate: GatePolicy | None = None, **after: float) -> dict[CheckName, Verdict]:
    wiggles = (0.98, 1.0, 1.02)
    canaries = [device(f"c{i}", Role.CANARY, wiggles[i % 3], **after) for i in range(6)]
    controls = [device(f"k{i}", Role.CONTROL, wiggles[i % 3]) for i in range(12)]
    evidence = Evidence(devices=(*canaries, *controls))
    checks = relative(gate or GatePolicy(), STAGE, evidence, stratum=A, last=True)
    return {check.name: check.verdict for check in checks}


@pytest.mark.parametrize(
    ("after", "fails"),
    [
        ({}, None),
        ({"ms": 30.0}, CheckName.RELATIVE_LATENCY),
        ({"tail": 3.0}, CheckName.RELATIVE_TAIL),
        ({"errors": 20}, CheckName.RELATIVE_ERRORS),
        ({"mb": 180.0}, CheckName.RELATIVE_MEMORY),
        ({"next_ms": 9.0}, CheckName.NEIGHBOUR_LATENCY),
        ({"next_mb": 90.0}, CheckName.NEIGHBOUR_MEMORY),
    ],
    ids=str,
)
def test_a_metric_that_gets_worse_beyond_its_margin_fails(after, fails) -> None:
    found = judged(**after)
    failed = {name for name, verdict in found.items() if verdict is Verdict.FAIL}
    with_latency = {CheckName.RELATIVE_TAIL} if fails is CheckName.RELATIVE_LATENCY else set()
    assert failed == ({fails} if fails else set()) | with_latency


def test_a_metric_is_judged_by_its_own_margin() -> None:
    wide = GatePolicy(memory_margin=1.0)
    assert judged(wide, mb=180.0)[CheckName.RELATIVE_MEMORY] is Verdict.PASS


def test_errors_are_no_metric_while_there_are_hardly_any() -> None:
    assert CheckName.RELATIVE_ERRORS not in judged()
    assert CheckName.RELATIVE_ERRORS in judged(errors=1)


def test_holm_divides_by_the_weight_and_multiplies_by_what_is_left() -> None:
    names = (CheckName.RELATIVE_LATENCY, CheckName.RELATIVE_TAIL, CheckName.RELATIVE_MEMORY)
    assert list(weights(names).values()) == pytest.approx([0.8, 0.1, 0.1])
    found = holm(dict(zip(names, (0.02, 0.001, 0.03), strict=True)))
    assert [found[name] for name in names] == pytest.approx([0.0225, 0.01, 0.03])
    falls = holm(dict(zip(names, (0.04, 0.9, 0.005), strict=True)))
    assert [found <= 1 for found in falls.values()] == [True, True, True]
    assert falls[names[0]] == pytest.approx(0.05)
    assert falls[names[2]] == pytest.approx(0.05)


def test_a_metric_alone_has_all_of_alpha_and_without_latency_all_have_the_same() -> None:
    alone = (CheckName.RELATIVE_LATENCY,)
    assert weights(alone) == {CheckName.RELATIVE_LATENCY: 1.0}
    rails = (CheckName.RELATIVE_TAIL, CheckName.RELATIVE_MEMORY)
    assert list(weights(rails).values()) == [0.5, 0.5]


def test_six_metrics_without_an_effect_fail_at_most_five_percent_of_stages() -> None:
    """Simulated: changes of devices with sd 5 %, five looks at the same alpha each, no margin."""
    rng = np.random.default_rng(20261121)
    gate = GatePolicy(margin=0.0, tail_margin=0.0, error_margin=0.0, memory_margin=0.0)
    failed, trials = 0, 200
    for _ in range(trials):
        levels = (
            rng.normal(0.0, 0.05, (16, 5, 5)).cumsum(axis=1) / np.sqrt(np.arange(1, 6))[:, None]
        )
        failed += any(_fails(gate, levels[:, look]) for look in range(5))
    assert failed <= 0.05 * trials + 2 * math.sqrt(0.05 * 0.95 * trials)


def _fails(gate: GatePolicy, shifts: np.ndarray) -> bool:
    devices = tuple(
        DeviceEvidence(
            device_id=str(i),
            stratum=A,
            role=Role.CANARY if i < 6 else Role.CONTROL,
            before=summary(),
            after=summary(
                ms=20 * math.exp(s[0]), tail=1.5 * math.exp(s[1]), mb=100 * math.exp(s[2])
            ),
            neighbours=(
                Neighbour(
                    before=summary(),
                    after=summary(ms=20 * math.exp(s[3]), mb=100 * math.exp(s[4])),
                ),
            ),
        )
        for i, s in enumerate(shifts)
    )
    checks = relative(gate, STAGE, Evidence(devices=devices), stratum=A, last=False)
    return any(check.verdict is Verdict.FAIL for check in checks)
