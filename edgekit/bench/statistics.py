"""Numbers with their uncertainty: medians, percentiles, ratios. Pure; measures nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from edgekit.errors import InconclusiveError

CONFIDENCE = 0.95
PERCENTILE_CONFIDENCE = 0.99
STEADY_VARIATION = 0.025
_RESAMPLES = 2000
_AT_ONCE = 1 << 18
"""Values that are resampled at a time: 2 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Where the true value lies with 95 % confidence, both ends included."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What some measurements of one thing say.

    Attributes:
        unit: Of every number but `count` and `variation`.
        count: Measurements.
        median: Middle measurement.
        interval: Of the median, from order statistics.
        p90: Upper bound of the 90th percentile; None below 64 measurements.
        minimum: Smallest measurement.
        maximum: Largest measurement.
        variation: Standard deviation over mean; above 0.025 the machine was not quiet.
    """

    unit: str
    count: int
    median: float
    interval: Interval
    p90: float | None
    minimum: float
    maximum: float
    variation: float

    @property
    def steady(self) -> bool:
        """Say whether the coefficient of variation is at most 2.5 %."""
        return self.variation <= STEADY_VARIATION


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentile:
    """One percentile of some measurements, in their unit.

    Attributes:
        percentile: In (0, 1).
        needs: Measurements that it takes to bound it.
        value: Of the measurements; None when there are fewer than it needs.
        interval: Where the true one lies with 95 % confidence, from order statistics.
        bound: It is no higher than this with 99 % confidence (early stopping).
    """

    percentile: float
    needs: int
    value: float | None = None
    interval: Interval | None = None
    bound: float | None = None


class Comparison(StrEnum):
    """Answer of a ratio whose interval is known."""

    LOWER = "lower"
    HIGHER = "higher"
    INDISTINGUISHABLE = "indistinguishable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Median of one thing over the median of another.

    Attributes:
        value: Ratio of the medians.
        interval: 95 % interval from the bootstrap.
    """

    value: float
    interval: Interval

    @property
    def comparison(self) -> Comparison:
        """Say whether the interval excludes 1, and on which side it lies."""
        if self.interval.low <= 1.0 <= self.interval.high:
            return Comparison.INDISTINGUISHABLE
        return Comparison.HIGHER if self.value > 1.0 else Comparison.LOWER


def summarize(samples: Sequence[float], *, unit: str) -> Summary:
    """Summarize measurements of one thing.

    Args:
        samples: At least one, in `unit`.
        unit: Such as "ms" or "1/s".

    Raises:
        InconclusiveError: There is no measurement.
    """
    if not samples:
        raise InconclusiveError("nothing was measured")
    values = np.sort(np.asarray(samples, dtype=np.float64))
    low, high = median_ranks(len(values))
    mean = float(values.mean())
    return Summary(
        unit=unit,
        count=len(values),
        median=float(np.median(values)),
        interval=Interval(low=float(values[low]), high=float(values[high])),
        p90=percentile_bound(samples, 0.90) if len(samples) >= minimum_queries(0.90) else None,
        minimum=float(values[0]),
        maximum=float(values[-1]),
        variation=float(values.std()) / mean if mean else 0.0,
    )


def median_ranks(count: int) -> tuple[int, int]:
    """Return the indices of the ordered sample that enclose the median with 95 % confidence.

    Below 6 measurements no pair does; then the two ends are returned.
    """
    return quantile_ranks(count, 0.5)


def quantile_ranks(count: int, quantile: float) -> tuple[int, int]:
    """Return the indices of the ordered sample that enclose a quantile with 95 % confidence.

    Where no pair does, for want of measurements, an end of the sample stands in.

    Args:
        count: Measurements, at least 1.
        quantile: In (0, 1).

    Source: David and Nagaraja 2003, Order Statistics, section 7.1.
    """
    alpha = (1.0 - CONFIDENCE) / 2.0
    at_most = _cumulative(count, quantile)
    # An index serves as the lower end if so few lie below the quantile too rarely to matter.
    low = int(np.searchsorted(at_most, alpha, side="right")) - 1
    high = int(np.searchsorted(at_most, 1.0 - alpha, side="left"))
    return max(low, 0), min(high, count - 1)


def percentile_of(samples: Sequence[float], percentile: float) -> Percentile:
    """Return one percentile with its interval and its bound, or how many measurements it takes.

    Args:
        samples: At least one.
        percentile: In (0, 1), such as 0.99.
    """
    values = np.sort(np.asarray(samples, dtype=np.float64))
    needs = minimum_queries(percentile)
    if len(values) < needs:
        return Percentile(percentile=percentile, needs=needs)
    low, high = quantile_ranks(len(values), percentile)
    return Percentile(
        percentile=percentile,
        needs=needs,
        value=float(np.quantile(values, percentile)),
        interval=Interval(low=float(values[low]), high=float(values[high])),
        bound=percentile_bound(samples, percentile),
    )


def minimum_queries(percentile: float, outliers: int = 1) -> int:
    """Return how many measurements it takes to bound a percentile with 99 % confidence.

    Args:
        percentile: In (0, 1), such as 0.90.
        outliers: Measurements that may lie above the percentile, at least 1.

    Source: MLPerf Inference rules, early stopping: 64 for p90, 130 for p95, 662 for p99.
    """
    count = outliers + 1
    while _at_most(outliers, count, 1.0 - percentile) > 1.0 - PERCENTILE_CONFIDENCE:
        count += 1
    return count


def percentile_bound(samples: Sequence[float], percentile: float) -> float:
    """Return an upper bound of a percentile that holds with 99 % confidence.

    The largest measurements are dropped, as many as the number of measurements allows, less one.

    Raises:
        InconclusiveError: There are fewer measurements than `minimum_queries(percentile)`.

    Source: MLPerf Inference rules, early stopping.
    """
    needed = minimum_queries(percentile)
    if len(samples) < needed:
        raise InconclusiveError(
            f"{len(samples)} measurements bound no {percentile:.0%} percentile",
            todo=f"take at least {needed}",
        )
    outliers = _outliers(len(samples), 1.0 - percentile)
    return float(sorted(samples)[len(samples) - outliers])


def ratio(ours: Sequence[float], baseline: Sequence[float], *, rng: np.random.Generator) -> Ratio:
    """Compare the medians of two things measured in one run.

    Args:
        ours: Measurements above the line.
        baseline: Measurements below the line, all > 0.
        rng: Source of the resampling.

    Raises:
        InconclusiveError: One of them was not measured.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 13.3 (percentile).
    """
    if not ours or not baseline:
        raise InconclusiveError("nothing was measured")
    above, below = np.asarray(ours, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    ratios = _medians(above, rng) / _medians(below, rng)
    return Ratio(value=float(np.median(above) / np.median(below)), interval=_middle(ratios))


def paired_ratio(
    ours: Sequence[float], baseline: Sequence[float], *, rng: np.random.Generator
) -> Ratio:
    """Compare two things that were measured in turns, round by round.

    What slows the machine down in one round slows both, so that the interval is narrower.

    Args:
        ours: One measurement a round, above the line.
        baseline: One measurement a round, below the line, all > 0.
        rng: Source of the resampling.

    Raises:
        InconclusiveError: They were not measured, or not equally often.

    Source: as `ratio`, on the ratios of the rounds.
    """
    if not ours or len(ours) != len(baseline):
        raise InconclusiveError("the two were not measured in the same rounds")
    rounds = np.asarray(ours, dtype=np.float64) / np.asarray(baseline, dtype=np.float64)
    return Ratio(value=float(np.median(rounds)), interval=_middle(_medians(rounds, rng)))


def _medians(values: npt.NDArray[np.float64], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return the medians of resamples; some at a time, for all of a long run fill the memory."""
    rows = max(1, _AT_ONCE // len(values))
    parts = [
        np.median(rng.choice(values, (min(rows, _RESAMPLES - done), len(values))), axis=1)
        for done in range(0, _RESAMPLES, rows)
    ]
    return np.concatenate(parts)


def _middle(values: npt.NDArray[np.float64]) -> Interval:
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(values, (tail, 1.0 - tail))
    return Interval(low=float(low), high=float(high))


def _binomial(hits: int, count: int, chance: float) -> float:
    """Return the probability of exactly `hits` of `count`."""
    log = (
        math.lgamma(count + 1)
        - math.lgamma(hits + 1)
        - math.lgamma(count - hits + 1)
        + hits * math.log(chance)
        + (count - hits) * math.log1p(-chance)
    )
    return math.exp(log)


def _outliers(count: int, chance: float) -> int:
    """Return how many of `count` measurements may be outliers with 99 % confidence, at least 1."""
    at_most = _cumulative(count, chance)
    allowed = int(np.searchsorted(at_most, 1.0 - PERCENTILE_CONFIDENCE, side="right")) - 1
    return max(1, allowed)


def _cumulative(count: int, chance: float) -> npt.NDArray[np.float64]:
    """Return P(at most k of `count`) for k = 0 ... count."""
    steps = np.log(np.arange(1, count + 1, dtype=np.float64))
    factorials = np.concatenate(([0.0], np.cumsum(steps)))
    hits = np.arange(count + 1, dtype=np.float64)
    logs = (
        factorials[-1]
        - factorials
        - factorials[::-1]
        + hits * math.log(chance)
        + (count - hits) * math.log1p(-chance)
    )
    sums: npt.NDArray[np.float64] = np.cumsum(np.exp(logs))
    return sums


def _at_most(hits: int, count: int, chance: float) -> float:
    return sum(_binomial(index, count, chance) for index in range(min(hits, count) + 1))
