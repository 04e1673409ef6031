"""Do two answers to one input agree? By task, in [0, 1]. Pure.

A class is compared by its name, because releases may order their classes differently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.manifest import Postprocessing, Task
from edgekit.runtime.base import Tensor
from edgekit.shadow import ShadowOrder

MIN_IOU = 0.5
"""Two boxes of one class are the same object from this overlap on (PASCAL VOC's criterion)."""
Box = Sequence[float]


def task_of(spec: Postprocessing | None) -> Task:
    """Return what a model's outputs mean."""
    return spec.task if spec is not None else Task.CLASSIFICATION


def same_objects(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> float:
    """Return the share of objects that both found: 2 * matched / all; 1.0 when neither found any.

    Each object is matched once, the surest first, with one of the same label and IoU >= 0.5.
    """
    left, matched = list(theirs), 0
    for one in ours:
        overlaps = [
            _iou(one["box"], other["box"]) if one["label"] == other["label"] else 0.0
            for other in left
        ]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best >= 0 and overlaps[best] >= MIN_IOU:
            left.pop(best)
            matched += 1
    total = len(ours) + len(theirs)
    return 2 * matched / total if total else 1.0


def same_pixels(ours: Tensor, theirs: Tensor) -> float:
    """Return the mean IoU over the classes that occur, of scores [1, classes, H, W]."""
    if ours.shape != theirs.shape or ours.ndim != 4:
        return 0.0
    a, b = ours.argmax(axis=1).ravel(), theirs.argmax(axis=1).ravel()
    shares = []
    for label in np.union1d(a, b):
        either = np.count_nonzero((a == label) | (b == label))
        shares.append(np.count_nonzero((a == label) & (b == label)) / either)
    return float(np.mean(shares))


def close(ours: Sequence[Tensor], serving: Sequence[Tensor], *, tolerance: float) -> bool:
    """Say whether no element differs by more than a share of the serving model's largest."""
    if len(ours) != len(serving):
        return False
    for a, b in zip(ours, serving, strict=True):
        if a.shape != b.shape:
            return False
        x, y = a.astype(np.float64), b.astype(np.float64)
        if not np.max(np.abs(x - y), initial=0.0) <= tolerance * np.max(np.abs(y), initial=1e-12):
            return False
    return True


def compares_outputs(spec: Postprocessing | None, label: str) -> bool:
    """Say whether the raw outputs are needed; a class name or a list of objects is shorter."""
    task = task_of(spec)
    return task in {Task.SEGMENTATION, Task.EMBEDDING} or (
        task is Task.CLASSIFICATION and not label
    )


def agree(
    spec: Postprocessing | None,
    order: ShadowOrder,
    *,
    ours: tuple[str, Any, Sequence[Tensor]],
    serving: tuple[str, Any, Sequence[Tensor]],
) -> bool:
    """Say whether two answers agree.

    Args:
        spec: Postprocessing of the candidate: its task decides how.
        order: Thresholds.
        ours: The candidate's class (or ""), whole answer and raw outputs.
        serving: The same of the model that served; no outputs where they are not compared.
    """
    match task_of(spec):
        case Task.DETECTION:
            return same_objects(ours[1] or (), serving[1] or ()) >= order.similarity
        case Task.SEGMENTATION:
            shapes = bool(ours[2]) and bool(serving[2])
            return shapes and same_pixels(ours[2][0], serving[2][0]) >= order.similarity
        case Task.EMBEDDING:
            return close(ours[2], serving[2], tolerance=order.tolerance)
        case Task.CLASSIFICATION:
            if ours[0] or serving[0]:
                return ours[0] == serving[0]
            return close(ours[2], serving[2], tolerance=order.tolerance)


def _iou(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return width * height / max(sum(areas) - width * height, 1e-12)
