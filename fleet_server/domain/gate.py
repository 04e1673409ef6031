"""The gate: evidence of a stage -> judgement. No evidence is never a pass.

Guard-rails are asked at every step. Latency is compared only at planned looks, which are counted in
device-windows received, so that offline devices do not distort them; the last look is taken when
the stage has baked and enough devices of every variant have reported.
"""

from __future__ import annotations

import math
from collections import Counter

from edgekit.verdict import Verdict, worst
from fleet_server.domain.deployment import DeploymentState
from fleet_server.domain.evidence import DeviceEvidence, Evidence, Population, Role
from fleet_server.domain.field_checks import field_checks
from fleet_server.domain.guard_rails import guard_rails, silent_devices
from fleet_server.domain.judgement import Check, CheckName, Judgement
from fleet_server.domain.policy import GatePolicy, Stage
from fleet_server.domain.relative import relative

_CONFIRMED = (DeploymentState.COMMITTED, DeploymentState.UNEXERCISED)


def looks_due(gate: GatePolicy, stage: Stage, evidence: Evidence, *, baked: bool) -> int:
    """Return how many planned looks the evidence is worth, 0 to `gate.looks`.

    Look k is due when k / looks of the required device-windows came. The last one waits until the
    stage has baked and every variant has enough judged devices: it decides.
    """
    needed = sum(stage.min_windows * required_devices(stage, p) for p in evidence.awaited)
    if needed == 0:
        return 0
    came = sum(_windows_that_count(stage, evidence, p) for p in evidence.awaited)
    if baked and _is_ready(gate, stage, evidence):
        return gate.looks
    return min(gate.looks - 1, came * gate.looks // needed)


def judge(
    gate: GatePolicy, stage: Stage, evidence: Evidence, *, look: int, timed_out: bool = False
) -> Judgement:
    """Judge a stage.

    Args:
        gate: Budgets, margin, looks.
        stage: Says how much evidence is enough.
        evidence: What came so far.
        look: Number of the planned look that is due now (`looks_due`, if it was not taken yet);
            0 asks the guard-rails only.
        timed_out: True when the stage's timeout is over: PENDING becomes INCONCLUSIVE.

    Returns:
        FAIL at any time; PASS at the last look only, and only with enough evidence of every
        variant; INCONCLUSIVE at the last look or after the timeout; else PENDING.
    """
    last = look >= gate.looks
    checks = [*guard_rails(gate, stage, evidence), *_evidence_checks(stage, evidence)]
    checks += [*_left_out(evidence), *field_checks(gate, evidence)]
    if look:
        strata = sorted({canary.stratum for canary in evidence.of(None, Role.CANARY)})
        for stratum in strata:
            checks += relative(gate, stage, evidence, stratum=stratum, last=last)
    verdict = worst(check.verdict for check in checks)
    if verdict is Verdict.PASS and not last:
        verdict = Verdict.PENDING
    if verdict is Verdict.PENDING and timed_out:
        verdict = Verdict.INCONCLUSIVE
        checks = [timed_out_check(check) for check in checks]
    return Judgement(verdict=verdict, look=look, checks=tuple(checks))


def is_judged(stage: Stage, device: DeviceEvidence) -> bool:
    """Say whether a canary counts as evidence: it committed, and worked for `min_windows`."""
    enough = device.after.windows >= stage.min_windows and device.after.inferences > 0
    return device.role is Role.CANARY and device.outcome in _CONFIRMED and enough


def required_devices(stage: Stage, population: Population) -> int:
    """Return how many judged devices a stratum needs, at least one."""
    return max(1, math.ceil(stage.min_reporting * population.taking_part - 1e-9))


def _windows_that_count(stage: Stage, evidence: Evidence, population: Population) -> int:
    members = evidence.of(population.stratum, Role.CANARY)
    came = sum(min(member.after.windows, stage.min_windows) for member in members)
    return min(came, stage.min_windows * required_devices(stage, population))


def _is_ready(gate: GatePolicy, stage: Stage, evidence: Evidence) -> bool:
    enough = all(c.verdict is Verdict.PASS for c in _evidence_checks(stage, evidence))
    return enough and silent_devices(gate, evidence).verdict is not Verdict.PENDING


def _evidence_checks(stage: Stage, evidence: Evidence) -> list[Check]:
    if not evidence.awaited:
        return [
            Check(
                name=CheckName.EVIDENCE,
                verdict=Verdict.PENDING,
                sentence="No reachable device matches: there is nothing to judge.",
            )
        ]
    enough = [_enough(stage, evidence, population) for population in evidence.awaited]
    return [*enough, *_on_trial(evidence)]


def _on_trial(evidence: Evidence) -> list[Check]:
    """Wait for devices on probation: one that may still go back is no success yet."""
    canaries = evidence.of(None, Role.CANARY)
    trying = [c for c in canaries if c.outcome is DeploymentState.ACTIVATED and not c.silent]
    if not trying:
        return []
    return [
        Check(
            name=CheckName.ON_TRIAL,
            verdict=Verdict.PENDING,
            sentence=f"{len(trying)} of {len(canaries)} canaries are still on probation.",
            numbers={"on_trial": len(trying), "canaries": len(canaries)},
        )
    ]


def _left_out(evidence: Evidence) -> list[Check]:
    """Say which canaries count neither way; that alone decides nothing."""
    reasons = Counter(evidence.left_out.values())
    if not reasons:
        return []
    told = ", ".join(f"{count} ({reason.value})" for reason, count in sorted(reasons.items()))
    return [
        Check(
            name=CheckName.LEFT_OUT,
            verdict=Verdict.PASS,
            sentence=f"Canaries left out of the evidence: {told}.",
            numbers={"left_out": len(evidence.left_out)},
        )
    ]


def _enough(stage: Stage, evidence: Evidence, population: Population) -> Check:
    members = evidence.of(population.stratum, Role.CANARY)
    judged = sum(is_judged(stage, member) for member in members)
    required = required_devices(stage, population)
    if population.taking_part == 0 and judged == 0:
        seen = f"none of {population.reachable} reachable devices takes part in this stage"
    else:
        seen = (
            f"{judged} of {population.taking_part} devices committed and sent "
            f"{stage.min_windows} windows, {required} must"
        )
    return Check(
        name=CheckName.EVIDENCE,
        variant=str(population.stratum),
        verdict=Verdict.PASS if judged >= required else Verdict.PENDING,
        sentence=f"{population.stratum}: {seen}.",
        numbers={
            "judged": judged,
            "required": required,
            "taking_part": population.taking_part,
            "reachable": population.reachable,
        },
    )


def timed_out_check(check: Check) -> Check:
    """Turn a check that waited for something into one that did not get it."""
    if check.verdict is not Verdict.PENDING:
        return check
    return Check(
        name=check.name,
        variant=check.variant,
        verdict=Verdict.INCONCLUSIVE,
        sentence=f"{check.sentence} The stage's time is over.",
        numbers=check.numbers,
    )
