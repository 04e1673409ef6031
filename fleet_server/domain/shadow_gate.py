"""The gate of a stage with shadow: pairs of answers to the same inputs -> judgement.

Nothing was activated, so that a FAIL costs nobody an answer. Pairs need no controls: the serving
release is the control, on the same device and the same inputs. Pairs of one device repeat one
another, so a device counts as one; the bounds only keep a handful of pairs from deciding.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.shadow import ShadowResult
from edgekit.verdict import Verdict, worst
from fleet_server.domain.deployment import DeploymentState
from fleet_server.domain.evidence import DeviceEvidence, Evidence, Population, Role
from fleet_server.domain.gate import required_devices, timed_out_check
from fleet_server.domain.guard_rails import failed_devices
from fleet_server.domain.judgement import Check, CheckName, Judgement
from fleet_server.domain.policy import GatePolicy, Shadow, Stage
from fleet_server.domain.statistics import wilson


def judge_shadow(
    gate: GatePolicy, stage: Stage, evidence: Evidence, *, baked: bool, timed_out: bool = False
) -> Judgement:
    """Judge a stage with shadow.

    Args:
        gate: How many devices may fail.
        stage: Its shadow says what agreement and latency are asked for.
        evidence: What came so far.
        baked: True when the stage's least time is over.
        timed_out: True when its timeout is over: PENDING becomes INCONCLUSIVE.

    Returns:
        FAIL as soon as more devices than may fail, disagree or are too slow; PASS when it has
        baked and enough devices of every variant agree; INCONCLUSIVE when they are done and
        their pairs cannot say, or after the timeout; else PENDING.
    """
    shadow = stage.shadow or Shadow()
    canaries = evidence.of(None, Role.CANARY)
    checks = [failed_devices(gate, canaries)]
    for stratum in sorted({canary.stratum for canary in canaries}):
        judged = [
            (d.device_id, d.shadow)
            for d in evidence.of(stratum, Role.CANARY)
            if d.shadow is not None and tried(d.shadow) >= shadow.min_pairs
        ]
        checks.append(_agreement(gate, shadow, str(stratum), judged))
        checks.append(_latency(gate, shadow, str(stratum), judged))
    checks += [_enough(stage, shadow, evidence, p, baked=baked) for p in evidence.awaited]
    if not evidence.awaited:
        sentence = "No reachable device that can shadow matches: there is nothing to judge."
        checks.append(Check(name=CheckName.EVIDENCE, verdict=Verdict.PENDING, sentence=sentence))
    verdict = worst(check.verdict for check in checks)
    if verdict is Verdict.PASS and not baked:
        verdict = Verdict.PENDING
    if verdict is Verdict.PENDING and timed_out:
        verdict = Verdict.INCONCLUSIVE
        checks = [timed_out_check(check) for check in checks]
    return Judgement(verdict=verdict, look=0, checks=tuple(checks))


def tried(found: ShadowResult) -> int:
    """Return on how many inputs the candidate was tried."""
    return found.pairs + found.failed


def _agreement(
    gate: GatePolicy, shadow: Shadow, stratum: str, judged: Sequence[tuple[str, ShadowResult]]
) -> Check:
    highest = {
        name: wilson(found.agreed, tried(found), alpha=gate.alpha_per_look).high
        for name, found in judged
    }
    below = sorted(name for name, high in highest.items() if high < shadow.agreement)
    total = sum((found for _, found in judged), ShadowResult())
    names = f": {', '.join(below[:5])}" if below else ""
    return Check(
        name=CheckName.SHADOW_AGREEMENT,
        variant=stratum,
        verdict=Verdict.FAIL if len(below) > gate.max_failed_devices else Verdict.PASS,
        sentence=(
            f"{stratum}: {total.agreed} of {tried(total)} inputs on {len(judged)} devices were"
            f" answered alike ({total.agreement:.1%}, {shadow.agreement:.1%} asked for),"
            f" {total.failed} not at all; {len(below)} devices disagree{names}."
        ),
        numbers={
            "devices": len(judged),
            "disagreeing": len(below),
            "tried": tried(total),
            "agreed": total.agreed,
            "failed": total.failed,
            "dropped": total.dropped,
            "agreement": total.agreement,
            "asked": shadow.agreement,
        },
    )


def _latency(
    gate: GatePolicy, shadow: Shadow, stratum: str, judged: Sequence[tuple[str, ShadowResult]]
) -> Check:
    ratios = [found.latency_ratio for _, found in judged if found.pairs]
    over = sum(ratio > shadow.latency_times for ratio in ratios)
    slowest = max(ratios, default=1.0)
    return Check(
        name=CheckName.SHADOW_LATENCY,
        variant=stratum,
        verdict=Verdict.FAIL if over > gate.max_failed_devices else Verdict.PASS,
        sentence=(
            f"{stratum}: {over} of {len(ratios)} devices answer slower than"
            f" {shadow.latency_times:g} times the serving release on the same inputs, the slowest"
            f" {slowest:.3g} times."
        ),
        numbers={
            "over": over,
            "devices": len(ratios),
            "slowest": slowest,
            "limit": shadow.latency_times,
        },
    )


def _enough(
    stage: Stage, shadow: Shadow, evidence: Evidence, population: Population, *, baked: bool
) -> Check:
    """Count the devices that are done and agree; done and in doubt is INCONCLUSIVE."""
    members = evidence.of(population.stratum, Role.CANARY)
    done = [m for m in members if m.outcome is DeploymentState.SHADOWED and m.shadow is not None]
    judged = [m for m in done if _tried_by(m) >= shadow.min_pairs]
    agreeing = sum((m.shadow or ShadowResult()).agreement >= shadow.agreement for m in judged)
    required = required_devices(stage, population)
    verdict = Verdict.PASS if agreeing >= required else Verdict.PENDING
    if verdict is Verdict.PENDING and baked and len(judged) >= max(1, population.taking_part):
        verdict = Verdict.INCONCLUSIVE
    idle = len(done) - len(judged)
    unexercised = f", {idle} had too few inputs (unexercised)" if idle else ""
    return Check(
        name=CheckName.EVIDENCE,
        variant=str(population.stratum),
        verdict=verdict,
        sentence=(
            f"{population.stratum}: {agreeing} of {population.taking_part} devices tried"
            f" {shadow.min_pairs} inputs and agree, {required} must{unexercised}."
        ),
        numbers={
            "agreeing": agreeing,
            "judged": len(judged),
            "unexercised": idle,
            "required": required,
            "taking_part": population.taking_part,
            "reachable": population.reachable,
        },
    )


def _tried_by(device: DeviceEvidence) -> int:
    return tried(device.shadow) if device.shadow is not None else 0
