"""Drift of what one device sees: an hour against the same hours of days before. Pure.

Thresholds are empirical, because those of folklore fire without any drift: a minute of video is a
few scenes. How far two ordinary hours of this device lie apart is measured, and an hour that lies
farther from them than nearly all of those do from one another has drifted. Drift never takes a
release back: the world changed, not the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import combinations
from statistics import median

from edgekit.divergence import js_distance

MIN_REFERENCES = 20
"""Hours before that make a threshold."""
MIN_SAMPLES = 50
"""Inferences that make an hour."""
QUANTILE = 0.99
NEAR_HOURS = 1
"""Hours of the day that count as the same: one before to one after."""
LOOK_BACK = timedelta(days=60)
MAX_REFERENCES = 60
Counts = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """What one device counted with one bundle in an hour.

    Attributes:
        at: Its beginning, UTC.
        counts: Counts in bins by name of a statistic.
        classes: Answers by class; not kept with the hour.
        drifted: Statistics that had drifted; such an hour is no reference.
    """

    at: datetime
    counts: Mapping[str, Counts]
    classes: Mapping[str, int] = field(default_factory=dict)
    drifted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HourDrift:
    """One statistic that left what is usual there.

    Attributes:
        statistic: Its name.
        distance: Median Jensen-Shannon distance to the hours before, in [0, 1].
        usual: Distance that QUANTILE of the pairs of hours before stay below.
        references: How many hours before there were.
    """

    statistic: str
    distance: float
    usual: float
    references: int


def hour_of(at: datetime) -> datetime:
    """Return the beginning of the hour, UTC."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def add_counts(one: Mapping[str, Counts], other: Mapping[str, Counts]) -> dict[str, Counts]:
    """Merge counts exactly; a statistic whose bins changed begins anew with the later ones."""
    merged = dict(one)
    for name, counts in other.items():
        have = merged.get(name, ())
        same = len(have) == len(counts)
        merged[name] = tuple(a + b for a, b in zip(have, counts, strict=True)) if same else counts
    return merged


def references_for(now: Hour, past: Sequence[Hour]) -> list[Hour]:
    """Return the hours to compare with: about the same hour of the day, undrifted, latest first."""
    near = [
        hour
        for hour in past
        if timedelta() < now.at - hour.at <= LOOK_BACK
        and _hours_apart(now.at, hour.at) <= NEAR_HOURS
        and not hour.drifted
    ]
    return sorted(near, key=lambda hour: hour.at, reverse=True)[:MAX_REFERENCES]


def hour_drifts(now: Hour, past: Sequence[Hour]) -> tuple[HourDrift, ...]:
    """Return the statistics of an hour that drifted; none where too little is known to say.

    Args:
        now: The hour.
        past: Hours of the same device and bundle.
    """
    references = references_for(now, past)
    found = []
    for name, counts in sorted(now.counts.items()):
        usable = [
            hour.counts[name]
            for hour in references
            if len(hour.counts.get(name, ())) == len(counts)
            and sum(hour.counts[name]) >= MIN_SAMPLES
        ]
        if sum(counts) < MIN_SAMPLES or len(usable) < MIN_REFERENCES:
            continue
        usual = _quantile(sorted(js_distance(a, b) for a, b in combinations(usable, 2)))
        distance = median(js_distance(counts, reference) for reference in usable)
        if distance > usual:
            found.append(
                HourDrift(statistic=name, distance=distance, usual=usual, references=len(usable))
            )
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drifting:
    """How many of the devices that a stage looks at drift.

    Attributes:
        watched: Devices with enough hours before to say.
        drifting: Ids of those that drift.
        statistics: What drifts, sorted.
    """

    watched: int = 0
    drifting: tuple[str, ...] = ()
    statistics: tuple[str, ...] = field(default=())

    @property
    def share(self) -> float:
        """Share of the watched devices that drift, in [0, 1]."""
        return len(self.drifting) / self.watched if self.watched else 0.0


def _hours_apart(one: datetime, other: datetime) -> int:
    gap = abs(one.astimezone(UTC).hour - other.astimezone(UTC).hour)
    return min(gap, 24 - gap)


def _quantile(ordered: Sequence[float]) -> float:
    return ordered[min(len(ordered) - 1, math.ceil(QUANTILE * len(ordered)) - 1)]
