"""The words of a rollout file: stages, gate, and what to do with a verdict.

Holds the values, their defaults and the check of a whole policy. Reads no file: the mapping that
YAML or JSON gave comes as an argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from edgekit.codec import convert
from edgekit.errors import FormatError, UsageError
from edgekit.shadow import ShadowOrder
from fleet_server.domain.selector import parse_selector, read_selector
from fleet_server.domain.timing import MaintenanceWindow, RateLimit, window_problems

MAX_CHOSEN_DEVICES = 1000
"""A stage by number is chosen and stored; larger stages are shares and are computed."""


class GateMode(StrEnum):
    """What a metric must do to pass the relative test."""

    MUST_NOT_FAIL = "must_not_fail"
    MUST_PROVE = "must_prove"


class OnFail(StrEnum):
    """What happens to a rollout whose gate says FAIL."""

    ROLL_BACK = "roll_back"
    PAUSE = "pause"


class OnDrift(StrEnum):
    """What happens to a rollout whose devices see something unusual."""

    TELL = "tell"
    HOLD = "hold"


class OnInconclusive(StrEnum):
    """What happens to a rollout whose gate cannot say."""

    HOLD = "hold"
    EXTEND = "extend"
    """The stage's time begins once more; then it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """A stage that activates nothing: the release is tried on live inputs and answers nobody.

    Attributes:
        fraction: Share of the live inputs that the candidate gets too, in (0, 1].
        duration_s: How long each device does that, seconds.
        min_pairs: Inputs tried that make a device a judged one.
        agreement: Least share of them that both releases answer alike, in (0, 1].
        latency_times: Largest multiple of the serving release's latency, on the same inputs.
        similarity: Detectors and segmenters answer alike from so much overlap on, in [0, 1].
        tolerance: Other outputs are alike when no element differs by more than this share of the
            largest.
    """

    fraction: float = 0.1
    duration_s: float = 600.0
    min_pairs: int = 100
    agreement: float = 0.95
    latency_times: float = 2.0
    similarity: float = 0.5
    tolerance: float = 0.1

    @property
    def order(self) -> ShadowOrder:
        """What a device is told."""
        return ShadowOrder(
            every=max(1, round(1 / self.fraction)),
            duration_s=self.duration_s,
            similarity=self.similarity,
            tolerance=self.tolerance,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """How far a release goes before it is judged. Stages are cumulative.

    Attributes:
        devices_per_variant: This many devices of each variant on each class of profile.
        devices: This many devices, spread over variants and sites.
        percent: Share of all matching devices, in (0, 100]; each variant gets at least one.
        selector: The matching devices that also have these labels, "ring=canary".
        shadow: Nobody activates the release in this stage; it is tried on live inputs only.
        approval: Opens only after a second person approved it.
        bake_s: Least time in the stage before it can pass, seconds.
        timeout_s: Without enough evidence after this time the stage is inconclusive, seconds.
        min_windows: Windows on the new release that make a device a judged device.
        min_reporting: Share of the reachable devices of a variant that must be judged, in (0, 1].
    """

    devices_per_variant: int | None = None
    devices: int | None = None
    percent: float | None = None
    selector: str = ""
    shadow: Shadow | None = None
    approval: bool = False
    bake_s: float = 1800.0
    timeout_s: float = 86400.0
    min_windows: int = 30
    min_reporting: float = 0.5

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Say whether the stage's own selector matches."""
        return read_selector(self.selector).matches(labels)

    @property
    def first_look_windows(self) -> int:
        """Windows from which on a device's mean is used at all: a fifth of `min_windows`."""
        return max(1, -(-self.min_windows // 5))


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePolicy:
    """When a stage fails and when it passes.

    Attributes:
        mode: None chooses by the number of canaries: MUST_PROVE from ten on.
        max_failed_devices: More failed or silent canaries than this fail the rollout.
        error_rate_budget: Absolute share of inferences that may be errors, in (0, 1).
        latency_budget_ms: Largest geometric mean latency of a device, milliseconds; None is none.
        latency_times_before: Largest multiple of the device's own latency before the swap.
        margin: Slowdown that is accepted, as a share (0.10 is 10 %), of other models too.
        tail_margin: Slowdown of the 95th percentile that is accepted, as a share.
        error_margin: Rise of the odds of an error that is accepted, as a share.
        memory_margin: Growth of memory that is accepted, as a share, of other models too.
        min_accuracy: Least accuracy in the field, by labels that came later; None asks for none.
        on_drift: What drift does; it never rolls back, because the world changed.
        drift_share: Share of the watched devices that must drift for that, in (0, 1].
        alpha: Chance of a false alarm in one stage and variant, one-sided.
        looks: Planned looks at the evidence, which share `alpha`.
    """

    mode: GateMode | None = None
    max_failed_devices: int = 0
    error_rate_budget: float = 0.02
    latency_budget_ms: float | None = None
    latency_times_before: float = 3.0
    margin: float = 0.10
    tail_margin: float = 0.25
    error_margin: float = 0.5
    memory_margin: float = 0.25
    min_accuracy: float | None = None
    on_drift: OnDrift = OnDrift.TELL
    drift_share: float = 0.2
    alpha: float = 0.05
    looks: int = 5

    @property
    def alpha_per_look(self) -> float:
        """One-sided error probability of one planned look (Bonferroni)."""
        return self.alpha / self.looks


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPolicy:
    """How a release goes out.

    Attributes:
        stages: At least one, never shrinking.
        selector: Labels that a device must have, as text or as pairs; empty for every device.
        not_before: UTC; nothing is offered earlier.
        windows: Offers are made only while one of these is open; none is always.
        rate_limit: At most so many new offers in a time. Ways back that use the device's other
            slot are exempt; those that download are not.
        holdback: Percent of the devices that stay controls until the rollout is finished.
        gate: Judges every stage.
        on_fail: What FAIL does.
        on_inconclusive: What INCONCLUSIVE does.
        partial: True says that the last stage is not meant to reach every device.
        confirmation: Each device (or a person for it) must confirm before it downloads.
    """

    stages: tuple[Stage, ...]
    selector: str | dict[str, str] = ""
    not_before: datetime | None = None
    windows: tuple[MaintenanceWindow, ...] = ()
    rate_limit: RateLimit | None = None
    holdback: float = 0.0
    gate: GatePolicy = GatePolicy()
    on_fail: OnFail = OnFail.ROLL_BACK
    on_inconclusive: OnInconclusive = OnInconclusive.HOLD
    partial: bool = False
    confirmation: bool = False


def parse_policy(mapping: Mapping[str, object], where: str) -> RolloutPolicy:
    """Read a policy from the mapping that a YAML or JSON file holds.

    Args:
        mapping: The keys of `RolloutPolicy`; `stages` is a list of mappings, `gate` a mapping.
        where: Name of the file, for the message.

    Raises:
        UsageError: Unknown key, wrong type, or a value that makes no sense; names the field.
    """
    _refuse_unknown_keys(mapping, where)
    try:
        policy = convert(mapping, RolloutPolicy, where=where)
    except FormatError as error:
        raise UsageError(error.what, where=where) from error
    check_policy(policy, where)
    return policy


def check_policy(policy: RolloutPolicy, where: str) -> None:
    """Refuse a policy that cannot be carried out.

    Raises:
        UsageError: Names the first field that is wrong, and the rule that it breaks.
    """
    for problem in _problems(policy):
        raise UsageError(problem, where=where, todo="correct the rollout file")


def _refuse_unknown_keys(mapping: Mapping[str, object], where: str) -> None:
    parts: list[tuple[str, object, type]] = [("", mapping, RolloutPolicy)]
    parts.append(("gate.", mapping.get("gate"), GatePolicy))
    parts.append(("rate_limit.", mapping.get("rate_limit"), RateLimit))
    stages = mapping.get("stages")
    for index, stage in enumerate(stages if isinstance(stages, list | tuple) else ()):
        if isinstance(stage, Mapping):
            parts.append((f"stages[{index}].shadow.", stage.get("shadow"), Shadow))
    lists: tuple[tuple[str, type], ...] = (("stages", Stage), ("windows", MaintenanceWindow))
    for name, kind in lists:
        listed = mapping.get(name)
        if isinstance(listed, list | tuple):
            parts += [(f"{name}[{i}].", part, kind) for i, part in enumerate(listed)]
    for prefix, part, kind in parts:
        if not isinstance(part, Mapping):
            continue  # the conversion names the wrong type
        known = {field.name for field in fields(kind)}
        for key in part:
            if key not in known:
                raise UsageError(
                    f"unknown key '{prefix}{key}'",
                    where=where,
                    todo=f"known here: {', '.join(sorted(known))}",
                )


def _problems(policy: RolloutPolicy) -> Iterator[str]:
    yield from _selector_problems("selector", policy.selector)
    if not policy.stages:
        yield "stages: at least one is needed"
        return
    for index, stage in enumerate(policy.stages):
        yield from _stage_problems(f"stages[{index}]", stage)
    if policy.stages[-1].shadow is not None:
        yield "stages: the last one cannot have 'shadow', because it activates nothing"
    for shadows in (False, True):
        yield from _order_problems([s for s in policy.stages if bool(s.shadow) is shadows])
    if policy.stages[-1].percent != 100 and not policy.partial:
        yield "stages: the last one must be 'percent: 100', or say 'partial: true'"
    yield from _gate_problems(policy.gate)
    yield from _timing_problems(policy)


def _timing_problems(policy: RolloutPolicy) -> Iterator[str]:
    for index, window in enumerate(policy.windows):
        yield from window_problems(f"windows[{index}]", window)
    limit = policy.rate_limit
    if limit is not None and (limit.devices < 1 or not 0 < limit.per_s < float("inf")):
        yield "rate_limit needs at least one device, and a finite time above 0"
    if not 0 <= policy.holdback < 100:
        yield f"holdback must be from 0 to below 100, not {policy.holdback:g}"
    if policy.not_before is not None and policy.not_before.tzinfo is None:
        yield "not_before needs a time zone"


def _selector_problems(name: str, selector: object) -> Iterator[str]:
    try:
        parse_selector(selector)
    except UsageError as error:
        yield f"{name}: {error.what}"


def _stage_problems(name: str, stage: Stage) -> Iterator[str]:
    sizes = (stage.devices_per_variant, stage.devices, stage.percent, stage.selector or None)
    if sum(size is not None for size in sizes) != 1:
        yield f"{name}: exactly one of devices_per_variant, devices, percent, selector is needed"
    yield from _selector_problems(f"{name}.selector", stage.selector)
    for field, number in (("devices_per_variant", sizes[0]), ("devices", sizes[1])):
        if number is not None and not 1 <= number <= MAX_CHOSEN_DEVICES:
            yield f"{name}.{field} must be 1 to {MAX_CHOSEN_DEVICES}, not {number}"
    if stage.percent is not None and not 0 < stage.percent <= 100:
        yield f"{name}.percent must be above 0 and at most 100, not {stage.percent:g}"
    if not 0 <= stage.bake_s < float("inf"):
        yield f"{name}.bake_s must be a number of seconds from 0, not {stage.bake_s:g}"
    if not stage.bake_s < stage.timeout_s < float("inf"):
        yield f"{name}.timeout_s must be more than bake_s ({stage.bake_s:g}), and finite"
    if stage.min_windows < 1:
        yield f"{name}.min_windows must be at least 1, because no evidence is never a pass"
    if stage.shadow is not None:
        yield from _shadow_problems(name, stage.shadow)
    if not 0 < stage.min_reporting <= 1:
        yield f"{name}.min_reporting must be above 0 and at most 1, not {stage.min_reporting:g}"


def _shadow_problems(name: str, shadow: Shadow) -> Iterator[str]:
    inf = float("inf")
    rules = (
        (0 < shadow.fraction <= 1, "fraction must be above 0 and at most 1"),
        (0 < shadow.duration_s < inf, "duration_s must be above 0, and finite"),
        (shadow.min_pairs >= 1, "min_pairs must be at least 1"),
        (0 < shadow.agreement <= 1, "agreement must be above 0 and at most 1"),
        (0 < shadow.latency_times < inf, "latency_times must be above 0"),
        (0 <= shadow.similarity <= 1, "similarity must be 0 to 1"),
        (0 <= shadow.tolerance < inf, "tolerance must be 0 or more"),
    )
    yield from (f"{name}.shadow.{message}" for holds, message in rules if not holds)


def _order_problems(stages: Sequence[Stage]) -> Iterator[str]:
    for index, (before, after) in enumerate(pairwise(stages), start=1):
        if before.percent is not None and after.percent is None:
            yield f"stages[{index}]: only a stage by percent can follow a stage by percent"
        for field in ("devices_per_variant", "devices", "percent"):
            low, high = getattr(before, field), getattr(after, field)
            if low is not None and high is not None and high < low:
                yield f"stages[{index}].{field} is {high:g} after {low:g}: stages never shrink"


def _gate_problems(gate: GatePolicy) -> Iterator[str]:
    rules = (
        (gate.max_failed_devices >= 0, "max_failed_devices must be 0 or more"),
        (0 < gate.error_rate_budget < 1, "error_rate_budget must be between 0 and 1"),
        (
            gate.latency_budget_ms is None or 0 < gate.latency_budget_ms < float("inf"),
            "latency_budget_ms must be above 0",
        ),
        (1 < gate.latency_times_before < float("inf"), "latency_times_before must be above 1"),
        *(
            (0 <= getattr(gate, name) < float("inf"), f"{name} must be 0 or more")
            for name in ("margin", "tail_margin", "error_margin", "memory_margin")
        ),
        (gate.min_accuracy is None or 0 < gate.min_accuracy < 1, "min_accuracy must be 0 to 1"),
        (0 < gate.drift_share <= 1, "drift_share must be above 0 and at most 1"),
        (0 < gate.alpha < 0.5, "alpha must be between 0 and 0.5"),
        (1 <= gate.looks <= 100, "looks must be 1 to 100"),
    )
    yield from (f"gate.{message}" for holds, message in rules if not holds)
