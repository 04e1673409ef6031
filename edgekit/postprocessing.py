"""From a model's output to an answer: for classification a label and its confidence. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.runtime.base import Tensor


@dataclass(frozen=True, slots=True)
class Classification:
    """The class with the highest score.

    Attributes:
        label: Its name; its index as text when there are no labels.
        confidence: Its probability, in [0, 1].
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
    index = int(row.argmax())
    top = float(row[index])
    if float(row.min()) >= 0.0 and abs(float(row.sum()) - 1.0) < 1e-3:
        confidence = top
    else:
        confidence = 1.0 / float(np.exp(row.astype(np.float64) - top).sum())
    return Classification(labels[index] if labels else str(index), confidence)
