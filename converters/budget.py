"""Judges a loss of accuracy against what the engineer allows: paired, with an interval.

Both models answered the same samples. Pure: arrays in, verdict out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from converters.metrics import Answers, Metric
from edgekit.runtime.base import Tensor
from edgekit.verdict import Verdict

Z95 = 1.959964
_RESAMPLES = 1000
_FEW_RESAMPLES = 200
_MOST_SAMPLES = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is known about the loss of a variant.

    Attributes:
        verdict: PASS: the whole interval is within what is allowed; FAIL: the whole is beyond;
            INCONCLUSIVE: neither.
        drop: Accuracy lost: percentage points for shares, else in the unit of the metric.
        low: Lower end of its 95 % interval.
        high: Upper end of it.
        allowed: What may be lost.
        missing_samples: How many more samples would decide if the rates stay; 0 when decided, None
            when no number is in sight.
    """

    verdict: Verdict
    drop: float
    low: float
    high: float
    allowed: float
    missing_samples: int | None


def judge_drop(
    metric: Metric, reference: Answers, answers: Answers, truth: Tensor, *, allowed: float
) -> Judgement:
    """Compare two models on the same samples.

    Right or wrong answers are compared by Tango's score interval for paired shares, other measures
    by the bootstrap over samples.

    Args:
        metric: The measure; not "parity".
        reference: The source's answers.
        answers: The variant's.
        truth: Labels or targets.
        allowed: Largest loss that is accepted, >= 0, as `Judgement.drop` counts it.
    """
    if metric.measure is None:
        raise ValueError("parity has no accuracy to lose")
    unit = 100.0 if metric.share else 1.0
    if metric.scorer is not None:
        had, has = metric.scorer(reference, truth), metric.scorer(answers, truth)
        return _judge_bootstrap(
            lambda chosen: unit * (had(chosen) - has(chosen)),
            truth,
            allowed,
            resamples=_FEW_RESAMPLES,
        )
    before = np.asarray(metric.measure(reference, truth))
    after = np.asarray(metric.measure(answers, truth))
    if before.dtype == np.bool_:
        lost, won = int(np.sum(before & ~after)), int(np.sum(~before & after))
        return _judge_pairs(lost, won, len(before), allowed)
    if before.shape:
        difference = unit * (before.astype(np.float64) - after)
        return _judge_bootstrap(lambda chosen: float(difference[chosen].mean()), truth, allowed)
    measure = metric.measure

    def drop(chosen: Tensor) -> float:
        had = measure(tuple(a[chosen] for a in reference), truth[chosen])
        has = measure(tuple(a[chosen] for a in answers), truth[chosen])
        return unit * float(np.mean(had) - np.mean(has))

    return _judge_bootstrap(drop, truth, allowed)


def tango_interval(lost: float, won: float, samples: float) -> tuple[float, float]:
    """Return the 95 % score interval of (lost - won) / samples, a difference of paired shares.

    Source: Tango 1998, Statistics in Medicine 17, 891-908.
    """
    return _root(lost, won, samples, Z95), _root(lost, won, samples, -Z95)


def _judge_pairs(lost: int, won: int, samples: int, allowed: float) -> Judgement:
    low, high = (100 * end for end in tango_interval(lost, won, samples))
    verdict = verdict_of(low, high, allowed)
    missing = 0 if verdict is not Verdict.INCONCLUSIVE else _missing(lost, won, samples, allowed)
    return Judgement(
        verdict=verdict,
        drop=100 * (lost - won) / samples,
        low=low,
        high=high,
        allowed=allowed,
        missing_samples=missing,
    )


def verdict_of(low: float, high: float, allowed: float) -> Verdict:
    """Return the verdict on an interval of losses."""
    if high <= allowed:
        return Verdict.PASS
    return Verdict.FAIL if low > allowed else Verdict.INCONCLUSIVE


def _missing(lost: int, won: int, samples: int, allowed: float) -> int | None:
    """Return how many more samples decide if the shares stay as they are."""

    def decided(count: float) -> bool:
        scale = count / samples
        low, high = (100 * end for end in tango_interval(lost * scale, won * scale, count))
        return verdict_of(low, high, allowed) is not Verdict.INCONCLUSIVE

    enough = float(samples)
    while not decided(enough):
        enough *= 2
        if enough > _MOST_SAMPLES:
            return None
    few = enough / 2
    while enough - few > 1:
        middle = (few + enough) / 2
        few, enough = (few, middle) if decided(middle) else (middle, enough)
    return math.ceil(enough) - samples


def _root(lost: float, won: float, samples: float, z: float) -> float:
    """Return the difference at which the score statistic is z; it falls as the difference grows."""
    low, high = -1.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _score(lost, won, samples, middle) > z:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _score(lost: float, won: float, n: float, difference: float) -> float:
    """Return Tango's statistic: the distance to a difference, in its standard deviations."""
    b = -lost - won + (2 * n - lost + won) * difference
    c = -won * difference * (1 - difference)
    share = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
    variance = n * (2 * share + difference * (1 - difference))
    distance = lost - won - n * difference
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def _judge_bootstrap(
    drop: Callable[[Tensor], float],
    truth: Tensor,
    allowed: float,
    *,
    resamples: int = _RESAMPLES,
) -> Judgement:
    n = len(truth)
    rng = np.random.default_rng(0)
    drops = [drop(rng.integers(0, n, n)) for _ in range(resamples)]
    low, high = (float(end) for end in np.percentile(drops, (2.5, 97.5)))
    value = drop(np.arange(n))
    verdict = verdict_of(low, high, allowed)
    missing: int | None = 0
    if verdict is Verdict.INCONCLUSIVE:
        gap = abs(allowed - value)
        needed = n * ((high - low) / 2 / gap) ** 2 if gap else math.inf
        missing = math.ceil(needed) - n if needed < _MOST_SAMPLES else None
        missing = None if missing is None else max(1, missing)
    return Judgement(
        verdict=verdict, drop=value, low=low, high=high, allowed=allowed, missing_samples=missing
    )
