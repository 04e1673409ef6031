"""The relative test: did the canaries of a stratum slow down more than its controls?

Per device the mean of ln(latency) after the swap minus before; a change of the whole fleet (a hot
day, a busier street) cancels. Where the comparison is impossible the check says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgekit.verdict import Verdict
from fleet_server.domain.evidence import DeviceEvidence, Evidence, Role, Stratum
from fleet_server.domain.judgement import Check, CheckName
from fleet_server.domain.policy import GateMode, GatePolicy, Stage
from fleet_server.domain.statistics import Difference, difference, smallest_visible_slowdown

MIN_DEVICES_A_SIDE = 3
MUST_PROVE_FROM_CANARIES = 10


def relative_latency(
    gate: GatePolicy, stage: Stage, evidence: Evidence, *, stratum: Stratum, last: bool
) -> Check:
    """Compare canaries with controls at a planned look.

    Args:
        gate: Margin, mode, and the alpha of one look.
        stage: Says how many windows make a device's mean usable.
        evidence: Of the whole stage.
        stratum: The one that is compared.
        last: True at the last planned look, where MUST_PROVE has to be answered.

    Returns:
        FAIL when the lower bound exceeds the margin. Else PASS, or, in MUST_PROVE, PENDING until
        the last look and INCONCLUSIVE there unless the upper bound stays below the margin.
    """
    canaries = _measured(stage, evidence.of(stratum, Role.CANARY))
    controls = _measured(stage, evidence.of(stratum, Role.CONTROL))
    changes = [d.log_change for d in canaries if d.log_change is not None]
    references = [d.log_change for d in controls if d.log_change is not None]
    if min(len(changes), len(references)) < MIN_DEVICES_A_SIDE:
        return _absolute_only(
            gate, stratum, canaries, controls, usable=(len(changes), len(references)), last=last
        )
    found = difference(changes, references, alpha=gate.alpha_per_look)
    return _compared(gate, stratum, found, sizes=(len(changes), len(references)), last=last)


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
    gate: GatePolicy, stratum: Stratum, found: Difference, *, sizes: tuple[int, int], last: bool
) -> Check:
    mode = mode_for(gate, sizes[0])
    margin = math.log1p(gate.margin)
    visible = smallest_visible_slowdown(found, margin=gate.margin)
    slower, low, high = (math.expm1(x) for x in (found.estimate, found.low, found.high))
    if found.low > margin:
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
