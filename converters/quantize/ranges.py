"""From a histogram of an activation to the range that its integers span. Pure arithmetic.

A histogram is counts [B] over equal bins between two edges. Every range contains zero, which must
have an integer of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from converters.quantize.recipes import Method
from edgekit.runtime.base import Tensor

Cost: TypeAlias = Callable[[Tensor, Tensor, float, float, int], float]

BINS = 2048
PERCENTILE = 99.99
_CANDIDATES = 64
_SMALLEST = 0.3


def histogram(values: Tensor, low: float, high: float) -> Tensor:
    """Return counts [2048] of values between two edges; those beyond count at the edges."""
    if not high > low:
        counts = np.zeros(BINS, np.int64)
        counts[0] = values.size
        return counts
    bins = ((values.ravel() - np.float32(low)) * np.float32(BINS / (high - low))).astype(np.int32)
    return np.bincount(np.clip(bins, 0, BINS - 1), minlength=BINS)


def choose_range(
    counts: Tensor, low: float, high: float, method: Method, *, levels: int = 256
) -> tuple[float, float]:
    """Return the range that a method chooses for values between two edges.

    Args:
        counts: Histogram, [B].
        low: Lower edge.
        high: Upper edge, > low.
        method: How.
        levels: Integers that there are.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    match method:
        case Method.MIN_MAX:
            return low, high
        case Method.PERCENTILE:
            return _percentile(counts, low, high)
        case Method.MSE:
            return _best(counts, low, high, levels, _squared_error)
        case Method.ENTROPY:
            return _best(counts, low, high, levels, _divergence)


def _percentile(counts: Tensor, low: float, high: float) -> tuple[float, float]:
    """Cut the rarest values off both ends, 0.005 % each."""
    share = np.cumsum(counts) / max(1, counts.sum())
    outside = (100 - PERCENTILE) / 200
    width = (high - low) / len(counts)
    first = int(np.searchsorted(share, outside))
    last = int(np.searchsorted(share, 1 - outside))
    return min(low + first * width, 0.0), max(low + (last + 1) * width, 0.0)


def _best(counts: Tensor, low: float, high: float, levels: int, cost: Cost) -> tuple[float, float]:
    """Return the narrowest of the cheapest ranges, both ends shrunk alike."""
    centres = low + (np.arange(len(counts)) + 0.5) * (high - low) / len(counts)
    factors = np.linspace(_SMALLEST, 1.0, _CANDIDATES)
    costs = [cost(counts, centres, low * f, high * f, levels) for f in factors]
    factor = float(factors[int(np.argmin(costs))])
    return low * factor, high * factor


def _squared_error(counts: Tensor, x: Tensor, low: float, high: float, levels: int) -> float:
    """Return the expected squared error: rounding inside, clipping outside.

    Rounding to a grid of step s costs s^2 / 12.
    """
    beyond = np.maximum(low - x, 0) + np.maximum(x - high, 0)
    step = (high - low) / (levels - 1)
    return float(np.sum(counts * np.where(beyond > 0, beyond**2, step**2 / 12)))


def _divergence(counts: Tensor, x: Tensor, low: float, high: float, levels: int) -> float:
    """Return the Kullback-Leibler divergence of the quantized from the clipped distribution.

    Source: Migacz 2017, 8-bit inference with TensorRT.
    """
    step = max((high - low) / (levels - 1), 1e-30)
    cells = np.rint((np.clip(x, low, high) - low) / step).astype(np.int64)
    inside = (x >= low) & (x <= high)
    if not inside.any():
        return float("inf")
    # The reference keeps its clipped mass at the ends, the candidate has lost where it was.
    wanted = np.where(inside, counts, 0).astype(np.float64)
    first, last = np.flatnonzero(inside)[[0, -1]]
    wanted[first] += counts[:first].sum()
    wanted[last] += counts[last + 1 :].sum()
    kept = np.where(inside, counts, 0).astype(np.float64)
    mass = np.bincount(cells[inside], kept[inside], minlength=levels)[cells]
    spread = np.where(inside & (kept > 0), mass / np.maximum(_filled(cells, kept, levels), 1), 0.0)
    return _kl(wanted, spread)


def _filled(cells: Tensor, kept: Tensor, levels: int) -> Tensor:
    """Return, for each bin, how many bins of its cell hold anything."""
    filled: Tensor = np.bincount(cells, kept > 0, minlength=levels)[cells]
    return filled


def _kl(p: Tensor, q: Tensor) -> float:
    p, q = p / max(p.sum(), 1e-30), q / max(q.sum(), 1e-30)
    there = p > 0
    return float(np.sum(p[there] * np.log(p[there] / np.maximum(q[there], 1e-12))))
