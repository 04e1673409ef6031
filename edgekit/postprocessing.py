"""From a model's output to an answer: for classification a label and its confidence. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edgekit.runtime.base import Tensor

_SUM_ATOL = 1e-3
_FEW = 32


class Classification(NamedTuple):
    """The class with the highest score; a tuple, because one is made for every inference.

    Attributes:
        label: Its name; its index as text when there are no labels.
        confidence: Its probability, in [0, 1]; NaN where any score is one.
    """

    label: str
    confidence: float


def classify(scores: Tensor, labels: Sequence[str]) -> Classification | None:
    """Read the first row of [1, classes] or [classes] scores; None if that is not their shape.

    Scores that are no probabilities already (>= 0, sum 1) count as logits: softmax.
    """
    row = scores[0] if scores.ndim == 2 else scores
    if row.ndim != 1 or row.size < 2 or (labels and len(labels) != row.size):
        return None
    if row.size <= _FEW:
        values = row.tolist()
        top = max(values)
        index, confidence = values.index(top), _confidence_of_few(values, top)
    else:
        index = int(row.argmax())
        confidence = _confidence_of_many(row, float(row[index]))
    return Classification(labels[index] if labels else str(index), confidence)


def _confidence_of_few(values: list[float], top: float) -> float:
    """Return the probability of `top`; for a few scores NumPy's calls cost more than the work."""
    if min(values) >= 0.0 and abs(math.fsum(values) - 1.0) < _SUM_ATOL:
        return top
    return 1.0 / math.fsum([math.exp(score - top) for score in values])


def _confidence_of_many(row: Tensor, top: float) -> float:
    if float(row.min()) >= 0.0 and abs(float(row.sum()) - 1.0) < _SUM_ATOL:
        return top
    away = np.subtract(row, top, dtype=np.float64)
    return 1.0 / float(np.exp(away, out=away).sum())
