"""A/B experiments: releases held side by side on shares of the fleet, then compared by device.

Pure. A device's arm is a hash of experiment and device, so that it stays while the experiment
runs, and is another draw in the next one. The readout compares devices, never single answers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from edgekit.errors import UsageError
from fleet_server.domain.assignment import share_of
from fleet_server.domain.evidence import DeviceEvidence
from fleet_server.domain.metrics import LATENCY, OTHERS, changes
from fleet_server.domain.statistics import difference, t_quantile

MIN_DEVICES_AN_ARM = 3
CONFIDENCE = 0.95


class ExperimentPhase(StrEnum):
    """Where an experiment stands. Stored values are never renamed."""

    RUNNING = "running"
    STOPPED = "stopped"
    PROMOTED = "promoted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One release of an experiment.

    Attributes:
        version: The release.
        share: Percent of the matching devices, above 0.
    """

    version: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """Releases of one model held side by side.

    Attributes:
        id: Its identity, also the seed of the arms.
        model: Name of the model.
        arms: Two or more; the first is what the others are compared with. Together they take at
            most 100 percent; the rest of the devices stays as it is.
        hold_s: Least time before the readout may name a winner, seconds.
        created_at: UTC.
        created_by: Who started it.
        phase: Where it stands.
        winner: Version that was promoted.
        ended_at: UTC; None while it runs.
    """

    id: str
    model: str
    arms: tuple[Arm, ...]
    hold_s: float
    created_at: datetime
    created_by: str = ""
    phase: ExperimentPhase = ExperimentPhase.RUNNING
    winner: str = ""
    ended_at: datetime | None = None

    @property
    def is_running(self) -> bool:
        """Whether devices are held in their arms."""
        return self.phase is ExperimentPhase.RUNNING

    def arm_of(self, device_id: str) -> Arm | None:
        """Return the arm of a matching device; None for one that is left as it is."""
        place = 100 * share_of(self.id, device_id)
        for arm in self.arms:
            if place < arm.share:
                return arm
            place -= arm.share
        return None

    def held_long_enough(self, now: datetime) -> bool:
        """Whether it was held as long as it was meant to be."""
        return now - self.created_at >= timedelta(seconds=self.hold_s)


def check_experiment(arms: Sequence[Arm], hold_s: float, where: str) -> None:
    """Refuse an experiment that cannot be carried out.

    Raises:
        UsageError: Names what is wrong.
    """
    for problem in _problems(arms, hold_s):
        raise UsageError(problem, where=where)


def _problems(arms: Sequence[Arm], hold_s: float) -> Iterator[str]:
    if len(arms) < 2:
        yield "an experiment needs two arms at least"
    if len({arm.version for arm in arms}) != len(arms):
        yield "each arm needs a release of its own"
    if not all(0 < arm.share <= 100 for arm in arms):
        yield "each share is above 0 and at most 100 percent"
    if sum(arm.share for arm in arms) > 100 + 1e-9:
        yield "the shares are more than 100 percent together"
    if not 0 <= hold_s < math.inf:
        yield "the time to hold is a number of seconds from 0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """How one arm differs from the first by one metric.

    Attributes:
        metric: Name of the metric.
        version: The arm.
        devices: Devices of the arm that were measured.
        reference_devices: Devices of the first arm that were measured.
        effect: Relative difference (0.10 is 10 % more); of errors, of their odds.
        low: Lower end of its 95 % interval; None with fewer than three devices an arm.
        high: Upper end.
    """

    metric: str
    version: str
    devices: int
    reference_devices: int
    effect: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def sentence(self) -> str:
        """The effect for people."""
        sizes = f"{self.devices} devices against {self.reference_devices}"
        if self.effect is None or self.low is None or self.high is None:
            return f"{self.version}: {self.metric} cannot be compared, {sizes}"
        clear = "" if self.low > 0 or self.high < 0 else ", which may be none"
        return (
            f"{self.version}: {self.metric} {self.effect:+.1%} ({self.low:+.1%} to"
            f" {self.high:+.1%}), {sizes}{clear}"
        )


def read_out(
    experiment: Experiment, devices: Mapping[str, Sequence[DeviceEvidence]]
) -> tuple[Effect, ...]:
    """Compare every arm with the first, by device and metric.

    Args:
        experiment: The experiment.
        devices: Version to the devices of its arm that run it, with their windows before the
            experiment and in it. A device's change cancels what is its own; where the devices had
            nothing before, nothing is compared.

    Source: two-sided pooled t interval on unit-level changes, as in `statistics.difference`.
    """
    reference = devices.get(experiment.arms[0].version, ())
    found = []
    for arm in experiment.arms[1:]:
        for metric in (LATENCY, *OTHERS):
            ours, theirs = (
                changes(metric, devices.get(arm.version, ()))[0],
                changes(metric, reference)[0],
            )
            effect = Effect(
                metric=metric.what,
                version=arm.version,
                devices=len(ours),
                reference_devices=len(theirs),
            )
            found.append(_measured(effect, ours, theirs))
    return tuple(found)


def _measured(effect: Effect, ours: Sequence[float], theirs: Sequence[float]) -> Effect:
    if min(len(ours), len(theirs)) < MIN_DEVICES_AN_ARM:
        return effect
    alpha = (1 - CONFIDENCE) / 2
    seen = difference(ours, theirs, alpha=alpha)
    reach = t_quantile(1 - alpha, seen.degrees) * seen.standard_error
    return Effect(
        metric=effect.metric,
        version=effect.version,
        devices=effect.devices,
        reference_devices=effect.reference_devices,
        effect=math.expm1(seen.estimate),
        low=math.expm1(seen.estimate - reach),
        high=math.expm1(seen.estimate + reach),
    )
