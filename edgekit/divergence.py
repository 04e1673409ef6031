"""How far two histograms with the same bins lie apart: one definition for devices and servers.

Plain arithmetic without numpy, pure. Counts may be fractions: a server weighs hours, not samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_UNSEEN = 0.5
_Z999 = 3.090232


def psi(expected: Sequence[float], seen: Sequence[float]) -> float:
    """Return the population stability index, >= 0; 0 for equal distributions.

    The sum of (q - p) ln(q / p); half a sample is added to each bin, so that empty ones count.
    """
    p, q = _shares(expected, _UNSEEN), _shares(seen, _UNSEEN)
    return sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))


def js_distance(expected: Sequence[float], seen: Sequence[float]) -> float:
    """Return the Jensen-Shannon distance to base 2, in [0, 1]; 0 where either is empty.

    Source: Endres and Schindelin 2003, the square root of the divergence.
    """
    if not sum(expected) or not sum(seen):
        return 0.0
    divergence = 0.0
    for p, q in zip(_shares(expected, 0.0), _shares(seen, 0.0), strict=True):
        middle = (p + q) / 2
        divergence += sum(x * math.log2(x / middle) / 2 for x in (p, q) if x > 0)
    return math.sqrt(min(1.0, max(0.0, divergence)))


def chance_psi(expected: float, seen: float, bins: int) -> float:
    """Return the index that two samples of one distribution exceed once in a thousand.

    Under no drift the index is (1/n + 1/m) times a chi-square of `bins` - 1 degrees of freedom.

    Args:
        expected: Samples of the one, n.
        seen: Samples of the other, m.
        bins: Bins of both.

    Source: Yurdakul and Naranjo 2020, Journal of Risk Model Validation 14(4); the quantile by
    Wilson and Hilferty 1931.
    """
    if not expected or not seen or bins < 2:
        return math.inf
    freedom = bins - 1
    spread = 2 / (9 * freedom)
    quantile = freedom * (1 - spread + _Z999 * math.sqrt(spread)) ** 3
    return quantile * (1 / expected + 1 / seen)


def _shares(counts: Sequence[float], each: float) -> list[float]:
    total = sum(counts) + each * len(counts)
    return [(count + each) / total for count in counts]
