"""Which of several variants is the best for what a person wants. Pure: measurements in, names out.

Nobody is told apart whom the measurement does not: where the intervals of two medians overlap, the
smaller file comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

HIGHEST = 100
"""Preference of the best variant; recipes alone stay far below."""


class Objective(StrEnum):
    """What counts first."""

    LATENCY = "latency"
    SIZE = "size"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A variant that passed its proof.

    Attributes:
        name: Of the variant.
        median_ms: Median latency here.
        low_ms: Lower end of the median's 95 % interval.
        high_ms: Upper end of it.
        model_bytes: Length of the model file.
        accuracy: On the held-out samples, higher is better; None where none was measured.
    """

    name: str
    median_ms: float
    low_ms: float
    high_ms: float
    model_bytes: int
    accuracy: float | None


def pareto_front(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Return the variants that no other beats: as fast, as small, as accurate, and better in one.

    Latencies whose intervals overlap count as equal.
    """
    return tuple(c.name for c in candidates if not any(_beats(o, c) for o in candidates))


def ranked(candidates: Sequence[Candidate], objective: Objective) -> tuple[str, ...]:
    """Return the names, the best first."""
    if objective is Objective.SIZE:
        ordered = sorted(candidates, key=lambda c: (c.model_bytes, c.median_ms, c.name))
        return tuple(c.name for c in ordered)
    left, names = sorted(candidates, key=lambda c: (c.median_ms, c.name)), []
    while left:
        equal = [c for c in left if c.low_ms <= left[0].high_ms]
        best = min(equal, key=lambda c: (c.model_bytes, c.median_ms, c.name))
        names.append(best.name)
        left.remove(best)
    return tuple(names)


def preferences(order: Sequence[str]) -> dict[str, int]:
    """Return the preference of each variant, the first the highest."""
    return {name: HIGHEST - place for place, name in enumerate(order)}


def _beats(other: Candidate, one: Candidate) -> bool:
    faster, slower = other.high_ms < one.low_ms, other.low_ms > one.high_ms
    had, has = other.accuracy or 0.0, one.accuracy or 0.0
    as_good = not slower and other.model_bytes <= one.model_bytes and had >= has
    return as_good and (faster or other.model_bytes < one.model_bytes or had > has)
