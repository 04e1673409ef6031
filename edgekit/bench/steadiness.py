"""Is it warm, is it steady, and how small a difference could be seen? Pure; measures nothing.

Everything is judged on medians of blocks, because single measurements jump for reasons that have
nothing to do with the machine's speed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from edgekit.bench.statistics import STEADY_VARIATION, paired_ratio
from edgekit.errors import InconclusiveError

BLOCKS = 20
WARM_BLOCKS = 3
WARM_WITHIN = 0.03
FREQUENCY_FALL = 0.05
_SIGNIFICANT = 2.576
"""Two-sided 1 % of the normal distribution."""


class Steadiness(StrEnum):
    """What the machine's speed did during the measurement."""

    STABLE = "stable"
    DRIFTING = "drifting"
    THROTTLED = "throttled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How the latency changed from the first to the last measurement.

    Attributes:
        change: As a share: 0.1 means ten percent slower at the end.
        significant: True if the order of the blocks is no accident (1 %).
    """

    change: float
    significant: bool


def warmed(medians: Sequence[float]) -> bool:
    """Say whether warming up is over: the last three blocks agree, or it no longer gets faster.

    Args:
        medians: Of the warm-up's blocks so far, in order.
    """
    if len(medians) < WARM_BLOCKS + 1:
        return False
    last = medians[-WARM_BLOCKS:]
    if max(last) <= min(last) * (1.0 + WARM_WITHIN):
        return True
    return min(last) >= min(medians[:-WARM_BLOCKS])


def block_medians(samples: Sequence[float], blocks: int = BLOCKS) -> list[float]:
    """Return medians of equal parts in order; fewer parts than asked for below 2 samples each."""
    parts = min(blocks, len(samples) // 2)
    if parts < 1:
        return []
    values = np.asarray(samples, dtype=np.float64)
    return [float(np.median(part)) for part in np.array_split(values, parts)]


def drift(samples: Sequence[float]) -> Drift | None:
    """Return the trend over time; None below ten blocks of two measurements.

    Source: Theil-Sen slope (Sen 1968) and the test of Mann 1945 and Kendall 1975, on medians of
    blocks.
    """
    medians = block_medians(samples)
    if len(medians) < BLOCKS // 2:
        return None
    values = np.asarray(medians, dtype=np.float64)
    first, second = np.triu_indices(len(values), 1)
    differences = values[second] - values[first]
    slope = float(np.median(differences / (second - first)))
    change = slope * (len(values) - 1) / float(np.median(values))
    return Drift(change=change, significant=_kendall(differences, len(values)))


def judge(
    samples: Sequence[float], *, throttle_events: int, frequencies_mhz: Sequence[float]
) -> Steadiness | None:
    """Say what the machine did; None when there are too few measurements to say it is stable.

    Throttled takes evidence from the machine itself: an event that it counted, or a frequency
    that fell by more than 5 % under the same load.

    Args:
        samples: Latencies in order.
        throttle_events: Events that the machine counted while measuring.
        frequencies_mhz: Of the processor, in order; empty where the machine does not say.
    """
    if throttle_events > 0 or _fell(frequencies_mhz):
        return Steadiness.THROTTLED
    found = drift(samples)
    if found is None:
        return None
    if found.significant and abs(found.change) > STEADY_VARIATION:
        return Steadiness.DRIFTING
    return Steadiness.STABLE


def noise_floor(samples: Sequence[float], *, rng: np.random.Generator) -> float | None:
    """Return the smallest relative difference that this run could have told from none.

    Odd blocks are compared with even ones: the same thing with itself. None below ten blocks.
    """
    medians = block_medians(samples, 2 * BLOCKS)
    pairs = len(medians) // 2
    if pairs < BLOCKS // 4:
        return None
    try:
        same = paired_ratio(medians[0 : 2 * pairs : 2], medians[1 : 2 * pairs : 2], rng=rng)
    except InconclusiveError:
        return None
    return max(abs(math.log(same.interval.low)), abs(math.log(same.interval.high)))


def _fell(frequencies_mhz: Sequence[float]) -> bool:
    quarter = len(frequencies_mhz) // 4
    if quarter < 1:
        return False
    before = float(np.median(frequencies_mhz[:quarter]))
    after = float(np.median(frequencies_mhz[-quarter:]))
    return after < before * (1.0 - FREQUENCY_FALL)


def _kendall(differences: npt.NDArray[np.float64], count: int) -> bool:
    score = float(np.sign(differences).sum())
    deviation = math.sqrt(count * (count - 1) * (2 * count + 5) / 18.0)
    return max(0.0, abs(score) - 1.0) / deviation > _SIGNIFICANT
