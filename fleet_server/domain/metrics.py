"""What is compared between canaries and controls: one number a device and metric, after - before.

Latency decides how a stage passes (see `relative`). The others only fail it: the slow tail, the
share of errors, memory, and what other models on the same devices lose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from fleet_server.domain.evidence import DeviceEvidence, Summary
from fleet_server.domain.guard_rails import MIN_ERRORS
from fleet_server.domain.judgement import CheckName
from fleet_server.domain.policy import GatePolicy
from fleet_server.domain.statistics import difference

MIN_DEVICES_A_SIDE = 3
LATENCY_SHARE = 0.8
"""Of alpha, for the metric that decides; the guard-rails have the rest in equal parts."""
Value = Callable[[Summary], float | None]
Change = Callable[[DeviceEvidence], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One thing that a release may make worse.

    Attributes:
        name: Its check.
        what: In words.
        change: A device's change, after minus before, of a logarithm (of a share: its logit).
        margin: Accepted worsening by a policy, as a share (0.10 is 10 % more).
    """

    name: CheckName
    what: str
    change: Change
    margin: Callable[[GatePolicy], float]


def own(value: Value) -> Change:
    """Return the change of a value of the model itself."""

    def change(device: DeviceEvidence) -> float | None:
        return _minus(value(device.after), value(device.before))

    return change


def of_neighbours(value: Value) -> Change:
    """Return the mean change of a value over the other models that stayed as they were."""

    def change(device: DeviceEvidence) -> float | None:
        changes = [_minus(value(n.after), value(n.before)) for n in device.neighbours]
        known = [c for c in changes if c is not None]
        return math.fsum(known) / len(known) if known else None

    return change


def latency(summary: Summary) -> float | None:
    """Return the mean of ln(latency in ms)."""
    return summary.mean_log_latency


def tail(summary: Summary) -> float | None:
    """Return the mean over windows of ln(their 95th percentile in ms)."""
    return summary.sum_log_p95 / summary.tails if summary.tails else None


def memory(summary: Summary) -> float | None:
    """Return ln(mean resident memory in MiB)."""
    if not summary.windows or summary.sum_rss_mb <= 0:
        return None
    return math.log(summary.sum_rss_mb / summary.windows)


def error_logit(summary: Summary) -> float | None:
    """Return the logit of the share of errors, half an error added to each side.

    Source: Haldane 1956 and Anscombe 1956, the empirical logit.
    """
    if not summary.inferences:
        return None
    good = summary.inferences - summary.errors
    return math.log((summary.errors + 0.5) / (good + 0.5))


LATENCY = Metric(
    name=CheckName.RELATIVE_LATENCY,
    what="latency",
    change=own(latency),
    margin=lambda gate: gate.margin,
)
OTHERS = (
    Metric(
        name=CheckName.RELATIVE_TAIL,
        what="p95 latency",
        change=own(tail),
        margin=lambda gate: gate.tail_margin,
    ),
    Metric(
        name=CheckName.RELATIVE_ERRORS,
        what="odds of an error",
        change=own(error_logit),
        margin=lambda gate: gate.error_margin,
    ),
    Metric(
        name=CheckName.RELATIVE_MEMORY,
        what="memory",
        change=own(memory),
        margin=lambda gate: gate.memory_margin,
    ),
    Metric(
        name=CheckName.NEIGHBOUR_LATENCY,
        what="latency of other models",
        change=of_neighbours(latency),
        margin=lambda gate: gate.margin,
    ),
    Metric(
        name=CheckName.NEIGHBOUR_MEMORY,
        what="memory of other models",
        change=of_neighbours(memory),
        margin=lambda gate: gate.memory_margin,
    ),
)


def changes(metric: Metric, devices: Sequence[DeviceEvidence]) -> tuple[list[float], int]:
    """Return the changes of the devices that have one, and how many errors they stand on."""
    known = [(c, d) for d in devices if (c := metric.change(d)) is not None]
    return [c for c, _ in known], sum(d.after.errors for _, d in known)


def is_comparable(
    metric: Metric, canaries: Sequence[DeviceEvidence], controls: Sequence[DeviceEvidence]
) -> bool:
    """Say whether a metric can be compared: three devices a side, and errors if it is about them.

    A metric that nobody worsened at all takes no share of alpha from those that matter.
    """
    ours, errors = changes(metric, canaries)
    theirs, _ = changes(metric, controls)
    if min(len(ours), len(theirs)) < MIN_DEVICES_A_SIDE:
        return False
    return metric.name is not CheckName.RELATIVE_ERRORS or errors >= MIN_ERRORS


def worse_p(
    metric: Metric,
    gate: GatePolicy,
    canaries: Sequence[DeviceEvidence],
    controls: Sequence[DeviceEvidence],
) -> float:
    """Return the one-sided p of the canaries not being worse than the margin allows."""
    ours, theirs = changes(metric, canaries)[0], changes(metric, controls)[0]
    found = difference(ours, theirs, alpha=gate.alpha_per_look)
    beyond = found.estimate - math.log1p(metric.margin(gate))
    if found.standard_error == 0:
        return 0.0 if beyond > 0 else 1.0
    return float(stats.t.sf(beyond / found.standard_error, found.degrees))


def weights(names: Sequence[CheckName]) -> dict[CheckName, float]:
    """Return each metric's share of alpha; together 1. What cannot be compared takes none."""
    others = [name for name in names if name is not LATENCY.name]
    if len(others) == len(names):
        return {name: 1 / len(names) for name in names}
    left = 1 - LATENCY_SHARE
    share = {LATENCY.name: LATENCY_SHARE if others else 1.0}
    return share | {name: left / len(others) for name in others}


def holm(p_values: Mapping[CheckName, float]) -> dict[CheckName, float]:
    """Return adjusted p-values: rejecting those <= alpha errs in any of them with at most alpha.

    Holm's procedure with `weights`, which bounds the error however the metrics hang together: the
    smallest p over weight is compared with all of alpha, the next one with what the rest weighs.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure"; with weights
    Benjamini and Hochberg 1997, "Multiple hypotheses testing with weights".
    """
    weight = weights(list(p_values))
    adjusted: dict[CheckName, float] = {}
    largest, left = 0.0, 1.0
    for name in sorted(p_values, key=lambda n: p_values[n] / weight[n]):
        largest = max(largest, min(1.0, p_values[name] / weight[name] * left))
        adjusted[name] = largest
        left -= weight[name]
    return adjusted


def _minus(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before
