"""Intervals and tests that a gate uses, on devices and not on windows.

Windows of one device repeat each other; the information is bounded by the number of devices. So
every test here takes one number a device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from scipy import stats

DETECTION_POWER = 0.8
"""A slowdown counts as one that could have been seen when it is found this often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A share with its bounds, all in [0, 1]."""

    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much more canaries changed than controls, in ln(latency).

    Attributes:
        estimate: Mean change of the canaries minus mean change of the controls.
        standard_error: Of `estimate`, from the pooled variance between devices.
        low: One-sided lower bound.
        high: One-sided upper bound.
        critical: The t quantile behind the bounds.
        degrees: Degrees of freedom, n_canary + n_control - 2.
    """

    estimate: float
    standard_error: float
    low: float
    high: float
    critical: float
    degrees: int


def wilson(hits: int, trials: int, *, alpha: float) -> Interval:
    """Return the Wilson score interval; each bound is missed with probability `alpha`.

    Args:
        hits: 0 to `trials`.
        trials: Without any, the interval is [0, 1] around 0.
        alpha: One-sided, in (0, 0.5).

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    if trials == 0:
        return Interval(share=0.0, low=0.0, high=1.0)
    z = NormalDist().inv_cdf(1 - alpha)
    share = hits / trials
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return Interval(share=share, low=max(0.0, centre - half), high=min(1.0, centre + half))


@lru_cache(maxsize=4096)
def t_quantile(probability: float, degrees: int) -> float:
    """Return the quantile of Student's t; remembered, because a server asks for few of them."""
    return float(stats.t.ppf(probability, degrees))


def difference(canaries: Sequence[float], controls: Sequence[float], *, alpha: float) -> Difference:
    """Compare the changes of two groups of devices: difference-in-differences, pooled t.

    Args:
        canaries: One change a device (mean ln latency after minus before); at least one.
        controls: The same over the same interval; at least one, three in all.
        alpha: One-sided error of each bound, already divided by the number of looks.

    Raises:
        ValueError: Too few devices for a variance.

    Source: Student's two-sample t with pooled variance, df = n1 + n2 - 2, on unit-level changes
    (Donald and Lang 2007, "Inference with difference-in-differences and other panel data").
    """
    n, m = len(canaries), len(controls)
    degrees = n + m - 2
    if min(n, m) < 1 or degrees < 1:
        raise ValueError(f"{n} canaries and {m} controls are too few for a variance")
    mean_n, mean_m = math.fsum(canaries) / n, math.fsum(controls) / m
    squares = math.fsum((x - mean_n) ** 2 for x in canaries)
    squares += math.fsum((x - mean_m) ** 2 for x in controls)
    standard_error = math.sqrt(squares / degrees * (1 / n + 1 / m))
    critical = t_quantile(1 - alpha, degrees)
    estimate = mean_n - mean_m
    return Difference(
        estimate=estimate,
        standard_error=standard_error,
        low=estimate - critical * standard_error,
        high=estimate + critical * standard_error,
        critical=critical,
        degrees=degrees,
    )


def smallest_visible_slowdown(found: Difference, *, margin: float) -> float:
    """Return the slowdown, as a share, that the same look would have failed four times in five.

    Args:
        found: The comparison that was made.
        margin: Slowdown that is accepted, as a share.

    Source: minimum detectable effect of a t test, (t_(1-alpha) + t_power) * SE above the margin
    (Bloom 1995, "Minimum detectable effects").
    """
    reach = found.critical + t_quantile(DETECTION_POWER, found.degrees)
    return (1 + margin) * math.exp(reach * found.standard_error) - 1


def more_silent_p(
    *, silent_canaries: int, canaries: int, silent_controls: int, controls: int
) -> float:
    """Return the one-sided p of canaries being silent no more often than controls.

    Source: Fisher's exact test, as in scipy.stats.fisher_exact, alternative "greater".
    """
    table = np.array(
        [
            [silent_canaries, canaries - silent_canaries],
            [silent_controls, controls - silent_controls],
        ]
    )
    return float(stats.fisher_exact(table, alternative="greater").pvalue)
