"""The relative test: did the canaries of a stratum get worse than its controls?

Per device one number a metric, after the swap minus before; a change of the whole fleet (a hot
day, a busier street) cancels. Several metrics share the alpha of a look by Holm's procedure. Where
the comparison is impossible the check says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgekit.verdict import Verdict
from fleet_server.domain.evidence import DeviceEvidence, Evidence, Role, Stratum
from fleet_server.domain.judgement import Check, CheckName
from fleet_server.domain.metrics import (
    LATENCY,
    OTHERS,
    Metric,
    changes,
    holm,
    is_comparable,
    worse_p,
)
from fleet_server.domain.policy import GateMode, GatePolicy, Stage
from fleet_server.domain.statistics import Difference, difference, smallest_visible_slowdown

MUST_PROVE_FROM_CANARIES = 10


def relative(
    gate: GatePolicy, stage: Stage, evidence: Evidence, *, stratum: Stratum, last: bool
) -> list[Check]:
    """Compare canaries with controls at a planned look, by every metric that both have.

    Args:
        gate: Margin, mode, and the alpha of one look.
        stage: Says how many windows make a device's mean usable.
        evidence: Of the whole stage.
        stratum: The one that is compared.
        last: True at the last planned look, where MUST_PROVE has to be answered.

    Returns:
        The check of latency first: FAIL when it is worse than the margin. Else PASS, or, in
        MUST_PROVE, PENDING until the last look and INCONCLUSIVE there unless the upper bound
        stays below the margin. Then the other metrics, which pass unless they FAIL.
    """
    canaries = _measured(stage, evidence.of(stratum, Role.CANARY))
    controls = _measured(stage, evidence.of(stratum, Role.CONTROL))
    compared = [m for m in (LATENCY, *OTHERS) if is_comparable(m, canaries, controls)]
    p = holm({m.name: worse_p(m, gate, canaries, controls) for m in compared})
    if LATENCY in compared:
        found, sizes = _found(LATENCY, gate, canaries, controls)
        checks = [_compared(gate, stratum, found, sizes=sizes, p=p[LATENCY.name], last=last)]
    else:
        usable = (len(changes(LATENCY, canaries)[0]), len(changes(LATENCY, controls)[0]))
        checks = [_absolute_only(gate, stratum, canaries, controls, usable=usable, last=last)]
    for metric in compared:
        if metric is not LATENCY:
            found, sizes = _found(metric, gate, canaries, controls)
            checks.append(_other(metric, gate, stratum, found, sizes=sizes, p=p[metric.name]))
    return checks


def _found(
    metric: Metric,
    gate: GatePolicy,
    canaries: Sequence[DeviceEvidence],
    controls: Sequence[DeviceEvidence],
) -> tuple[Difference, tuple[int, int]]:
    ours, theirs = changes(metric, canaries)[0], changes(metric, controls)[0]
    return difference(ours, theirs, alpha=gate.alpha_per_look), (len(ours), len(theirs))


def _other(
    metric: Metric,
    gate: GatePolicy,
    stratum: Stratum,
    found: Difference,
    *,
    sizes: tuple[int, int],
    p: float,
) -> Check:
    """Judge a metric that only fails a stage."""
    more, low, high = (math.expm1(x) for x in (found.estimate, found.low, found.high))
    margin = metric.margin(gate)
    return Check(
        name=metric.name,
        variant=str(stratum),
        verdict=Verdict.FAIL if p <= gate.alpha_per_look else Verdict.PASS,
        sentence=(
            f"{stratum}: {sizes[0]} canaries against {sizes[1]} controls, {metric.what} {more:+.1%}"
            f" ({low:+.1%} to {high:+.1%}), {margin:+.1%} allowed."
        ),
        numbers={
            "canaries": sizes[0],
            "controls": sizes[1],
            "more": more,
            "low": low,
            "high": high,
            "margin": margin,
            "p": p,
        },
    )


def mode_for(gate: GatePolicy, canaries: int) -> GateMode:
    """Return the policy's mode, or the default for so many compared canaries."""
    if gate.mode is not None:
        return gate.mode
    if canaries >= MUST_PROVE_FROM_CANARIES:
        return GateMode.MUST_PROVE
    return GateMode.MUST_NOT_FAIL


def _measured(stage: Stage, devices: Sequence[DeviceEvidence]) -> list[DeviceEvidence]:
    return [d for d in devices if d.after.windows >= stage.first_look_windows and d.after.latencies]


def _compared(
    gate: GatePolicy,
    stratum: Stratum,
    found: Difference,
    *,
    sizes: tuple[int, int],
    p: float,
    last: bool,
) -> Check:
    mode = mode_for(gate, sizes[0])
    margin = math.log1p(gate.margin)
    visible = smallest_visible_slowdown(found, margin=gate.margin)
    slower, low, high = (math.expm1(x) for x in (found.estimate, found.low, found.high))
    if p <= gate.alpha_per_look:
        verdict = Verdict.FAIL
    elif mode is GateMode.MUST_NOT_FAIL or (last and found.high < margin):
        verdict = Verdict.PASS
    else:
        verdict = Verdict.INCONCLUSIVE if last else Verdict.PENDING
    unproven = " That it stays below is not proven." if verdict is Verdict.INCONCLUSIVE else ""
    return Check(
        name=CheckName.RELATIVE_LATENCY,
        variant=str(stratum),
        verdict=verdict,
        sentence=(
            f"{stratum}: {sizes[0]} canaries against {sizes[1]} controls, latency {slower:+.1%} "
            f"({low:+.1%} to {high:+.1%}), {gate.margin:+.1%} allowed; a slowdown from "
            f"{visible:+.1%} on would have been seen.{unproven}"
        ),
        numbers={
            "canaries": sizes[0],
            "controls": sizes[1],
            "slowdown": slower,
            "low": low,
            "high": high,
            "margin": gate.margin,
            "visible_slowdown": visible,
            "p": p,
        },
    )


def _absolute_only(
    gate: GatePolicy,
    stratum: Stratum,
    canaries: list[DeviceEvidence],
    controls: list[DeviceEvidence],
    *,
    usable: tuple[int, int],
    last: bool,
) -> Check:
    """Say why there is no comparison, and what the absolute budgets could have seen."""
    possible = True
    if not canaries:
        possible, why = False, "no canary was measured"
    elif not any(canary.before.latencies for canary in canaries):
        possible, why = False, "a first install has no baseline"
    elif not controls:
        possible, why = False, "there are no controls"
    else:
        why = f"{usable[0]} canaries and {usable[1]} controls have a baseline, 3 a side are needed"
    verdict = Verdict.PASS
    if possible and gate.mode is GateMode.MUST_PROVE:
        verdict = Verdict.INCONCLUSIVE if last else Verdict.PENDING
    return Check(
        name=CheckName.RELATIVE_LATENCY,
        variant=str(stratum),
        verdict=verdict,
        sentence=f"{stratum}: absolute budgets only, because {why}; {_seen_at_all(gate, usable)}.",
        numbers={"canaries": usable[0], "controls": usable[1]},
    )


def _seen_at_all(gate: GatePolicy, usable: tuple[int, int]) -> str:
    limits = []
    if usable[0]:
        limits.append(f"{gate.latency_times_before - 1:+.0%}")
    if gate.latency_budget_ms is not None:
        limits.append(f"{gate.latency_budget_ms:g} ms")
    if not limits:
        return "no slowdown would have been seen, as no latency budget is set"
    return f"a slowdown is seen only from {' or '.join(limits)} on"
