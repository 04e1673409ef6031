"""Absolute guard-rails: what fails a stage at once, without a comparison of latencies.

Operators think in numbers of devices, so most of them count devices: `max_failed_devices` bounds
the failed and silent ones together, and those over a latency budget. One device counts once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

from edgekit.verdict import Verdict
from fleet_server.domain.deployment import FAILED_STATES
from fleet_server.domain.evidence import DeviceEvidence, Evidence, Role, Stratum, Summary
from fleet_server.domain.judgement import Check, CheckName
from fleet_server.domain.policy import GatePolicy, Stage
from fleet_server.domain.statistics import more_silent_p, wilson

MAX_SHARE = 10
MIN_DEVICES_FOR_A_MEDIAN = 3
MIN_ERRORS = 5
"""Below so many errors the Wilson bound is too eager: one error in five inferences says nothing."""


def guard_rails(gate: GatePolicy, stage: Stage, evidence: Evidence) -> tuple[Check, ...]:
    """Ask every question that needs no planned look.

    Returns:
        FAIL where a budget is broken, PENDING where silence cannot be told from an outage, else
        PASS; first of the whole stage, then of each stratum that has canaries.
    """
    canaries = evidence.of(None, Role.CANARY)
    checks = [failed_devices(gate, canaries), silent_devices(gate, evidence)]
    for stratum in sorted({canary.stratum for canary in canaries}):
        members = evidence.of(stratum, Role.CANARY)
        checks.append(_error_rate(gate, stratum, members))
        measured = [d for d in members if d.after.windows >= stage.first_look_windows]
        checks += _latencies(gate, stratum, measured)
    return tuple(checks)


def silent_devices(gate: GatePolicy, evidence: Evidence) -> Check:
    """Judge canaries that fell silent after activation, against the controls of their sites.

    At each site as many canaries are excused as the share of silent controls there explains (all
    of them in an outage); the rest count as failed devices. Fisher's test finds what a generous
    `max_failed_devices` would let through. Without any control nobody can say: PENDING. So it is
    while controls are overdue that would explain it: an outage silences each device in its turn.
    """
    canaries = _not_failed(evidence.of(None, Role.CANARY))
    controls = evidence.of(None, Role.CONTROL)
    failed = len(evidence.of(None, Role.CANARY)) - len(canaries)
    silent = _silent(canaries)
    numbers: dict[str, float] = {
        "silent_canaries": silent,
        "canaries": len(canaries),
        "silent_controls": _silent(controls),
        "controls": len(controls),
    }
    if not controls:
        verdict = Verdict.PENDING if silent and silent + failed > gate.max_failed_devices else None
        note = "no controls tell whether that is an outage" if silent else "no controls"
        return _silence(verdict or Verdict.PASS, numbers, note)
    counted, p = _count(canaries, controls)
    numbers |= {"counted": counted, "p": p}
    note = f"{counted} not explained by silent controls, Fisher p {p:.3g}"
    if not _too_silent(gate, counted, p, failed=failed):
        return _silence(Verdict.PASS, numbers, note)
    overdue = sum(control.overdue for control in controls)
    waiting = tuple(replace(c, silent=c.silent or c.overdue) for c in controls)
    if overdue and not _too_silent(gate, *_count(canaries, waiting), failed=failed):
        return _silence(Verdict.PENDING, numbers, f"{note}; {overdue} controls are overdue")
    return _silence(Verdict.FAIL, numbers, note)


def _count(
    canaries: tuple[DeviceEvidence, ...], controls: tuple[DeviceEvidence, ...]
) -> tuple[int, float]:
    """Return how many silent canaries no control explains, and Fisher's p."""
    counted = sum(_unexplained(site, canaries, controls) for site in {c.site for c in canaries})
    return counted, _fisher(canaries, controls)


def _too_silent(gate: GatePolicy, counted: int, p: float, *, failed: int) -> bool:
    too_many = counted > 0 and counted + failed > gate.max_failed_devices
    return too_many or p < gate.alpha_per_look


def _silence(verdict: Verdict, numbers: dict[str, float], note: str) -> Check:
    sentence = (
        f"{numbers['silent_canaries']:g} of {numbers['canaries']:g} canaries and "
        f"{numbers['silent_controls']:g} of {numbers['controls']:g} controls are silent ({note})."
    )
    return Check(name=CheckName.SILENT_DEVICES, verdict=verdict, sentence=sentence, numbers=numbers)


def failed_devices(gate: GatePolicy, canaries: tuple[DeviceEvidence, ...]) -> Check:
    """Judge devices on which the release failed: more than may is FAIL."""
    failed = sorted(c.device_id for c in canaries if c.outcome in FAILED_STATES)
    names = f": {', '.join(failed[:5])}{', ...' if len(failed) > 5 else ''}" if failed else ""
    return Check(
        name=CheckName.FAILED_DEVICES,
        verdict=Verdict.FAIL if len(failed) > gate.max_failed_devices else Verdict.PASS,
        sentence=(
            f"{len(failed)} of {len(canaries)} canaries failed, "
            f"{gate.max_failed_devices} may{names}."
        ),
        numbers={
            "failed": len(failed),
            "canaries": len(canaries),
            "max_failed_devices": gate.max_failed_devices,
        },
    )


def _not_failed(canaries: Iterable[DeviceEvidence]) -> tuple[DeviceEvidence, ...]:
    return tuple(canary for canary in canaries if canary.outcome not in FAILED_STATES)


def _silent(devices: Iterable[DeviceEvidence]) -> int:
    return sum(device.silent for device in devices)


def _unexplained(
    site: str, canaries: tuple[DeviceEvidence, ...], controls: tuple[DeviceEvidence, ...]
) -> int:
    """Count a site's silent canaries beyond what its controls (or, without, all) explain."""
    here = [c for c in canaries if c.site == site]
    peers = [c for c in controls if c.site == site] or list(controls)
    expected = math.floor(len(here) * _silent(peers) / len(peers) + 0.5)
    return max(0, _silent(here) - expected)


def _fisher(canaries: tuple[DeviceEvidence, ...], controls: tuple[DeviceEvidence, ...]) -> float:
    """Return p over the sites that are not out altogether; 1.0 when none is left."""
    alive = {device.site for device in (*canaries, *controls) if not device.silent}
    outages = {device.site for device in controls} - alive
    left = [c for c in canaries if c.site not in outages]
    compared = [c for c in controls if c.site not in outages]
    if not left or not compared:
        return 1.0
    return more_silent_p(
        silent_canaries=_silent(left),
        canaries=len(left),
        silent_controls=_silent(compared),
        controls=len(compared),
    )


def _error_rate(gate: GatePolicy, stratum: Stratum, members: tuple[DeviceEvidence, ...]) -> Check:
    total = _fair_total([member.after for member in members])
    found = wilson(total.errors, total.inferences, alpha=gate.alpha_per_look)
    over = total.errors >= MIN_ERRORS and found.low > gate.error_rate_budget
    seen = (
        f"{found.share:.2%} errors ({found.low:.2%} to {found.high:.2%})"
        if total.inferences
        else "no inference yet"
    )
    return Check(
        name=CheckName.ERROR_RATE,
        variant=str(stratum),
        verdict=Verdict.FAIL if over else Verdict.PASS,
        sentence=f"{stratum}: {seen}, {gate.error_rate_budget:.2%} allowed.",
        numbers={
            "errors": total.errors,
            "inferences": total.inferences,
            "share": found.share,
            "low": found.low,
            "high": found.high,
            "budget": gate.error_rate_budget,
        },
    )


def _fair_total(summaries: list[Summary]) -> Summary:
    """Add devices up, none as more than MAX_SHARE times the median of them.

    A device that floods would else hide the errors of all others, or make up for them all.
    """
    worked = sorted(s.inferences for s in summaries if s.inferences)
    if len(worked) < MIN_DEVICES_FOR_A_MEDIAN:
        return sum(summaries, Summary())
    cap = MAX_SHARE * worked[(len(worked) - 1) // 2]
    total = Summary()
    for summary in summaries:
        kept = min(summary.inferences, cap)
        errors = summary.errors * kept // max(1, summary.inferences)
        total += Summary(inferences=kept, errors=errors)
    return total


def _latencies(gate: GatePolicy, stratum: Stratum, measured: list[DeviceEvidence]) -> list[Check]:
    checks = []
    if gate.latency_budget_ms is not None:
        checks.append(
            _over_limit(
                gate,
                stratum,
                measured,
                name=CheckName.LATENCY_BUDGET,
                value=_geometric_mean_ms,
                limit=gate.latency_budget_ms,
                unit=" ms",
            )
        )
    with_baseline = [device for device in measured if device.log_change is not None]
    if with_baseline:
        checks.append(
            _over_limit(
                gate,
                stratum,
                with_baseline,
                name=CheckName.LATENCY_TIMES_BEFORE,
                value=_times_before,
                limit=gate.latency_times_before,
                unit=" times its own before",
            )
        )
    return checks


def _geometric_mean_ms(device: DeviceEvidence) -> float:
    mean = device.after.mean_log_latency
    return 0.0 if mean is None else math.exp(mean)


def _times_before(device: DeviceEvidence) -> float:
    return math.exp(device.log_change or 0.0)


def _over_limit(
    gate: GatePolicy,
    stratum: Stratum,
    devices: list[DeviceEvidence],
    *,
    name: CheckName,
    value: Callable[[DeviceEvidence], float],
    limit: float,
    unit: str,
) -> Check:
    """Count the devices whose latency is over a limit; more than may fail is FAIL."""
    values = [value(device) for device in devices]
    over = sum(x > limit for x in values)
    slowest = max(values, default=0.0)
    return Check(
        name=name,
        variant=str(stratum),
        verdict=Verdict.FAIL if over > gate.max_failed_devices else Verdict.PASS,
        sentence=(
            f"{stratum}: {over} of {len(devices)} canaries answer slower than {limit:g}{unit}, "
            f"the slowest {slowest:.3g}{unit}."
        ),
        numbers={"over": over, "devices": len(devices), "slowest": slowest, "limit": limit},
    )
