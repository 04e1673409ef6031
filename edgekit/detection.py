"""Answers of detectors, segmenters and embedders: NumPy only, and pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.errors import DataError
from edgekit.manifest import Boxes, Postprocessing
from edgekit.runtime.base import FloatArray, Tensor

_CANDIDATES = 4096
"""Boxes that are compared with one another at most, the best ones."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One object.

    Attributes:
        label: Class name; its index as text when there are no labels.
        confidence: Score, in [0, 1].
        box: Left, top, right, bottom in pixels of the model's input.
    """

    label: str
    confidence: float
    box: tuple[float, float, float, float]


def detect(
    outputs: Sequence[Tensor], labels: Sequence[str], spec: Postprocessing
) -> tuple[Detection, ...]:
    """Return what a detector found, best first, after non-maximum suppression by class.

    Raises:
        DataError: The outputs are not those of a detector.
    """
    boxes, scores = _boxes_and_scores(outputs, labels)
    if spec.boxes is Boxes.CENTER:
        half = boxes[:, 2:] / 2
        boxes = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
    classes = scores.argmax(axis=1)
    best = scores[np.arange(len(scores)), classes]
    order = np.argsort(-best, kind="stable")
    order = order[best[order] >= spec.score_threshold][:_CANDIDATES]
    kept = suppress(boxes[order], classes[order], iou_threshold=spec.iou_threshold)
    return tuple(
        Detection(
            label=labels[classes[i]] if labels else str(classes[i]),
            confidence=float(best[i]),
            box=(float(boxes[i, 0]), float(boxes[i, 1]), float(boxes[i, 2]), float(boxes[i, 3])),
        )
        for i in order[kept][: spec.max_detections]
    )


def suppress(boxes: FloatArray, classes: Tensor, *, iou_threshold: float) -> list[int]:
    """Return the indices that stay of boxes sorted by score, best first.

    Args:
        boxes: [N, 4], left, top, right, bottom.
        classes: [N]; only boxes of one class suppress one another.
        iou_threshold: A box that overlaps a better one by more goes.
    """
    areas = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    alive, kept = np.ones(len(boxes), bool), list[int]()
    for index in range(len(boxes)):
        if not alive[index]:
            continue
        kept.append(index)
        low = np.maximum(boxes[index, :2], boxes[index + 1 :, :2])
        high = np.minimum(boxes[index, 2:], boxes[index + 1 :, 2:])
        shared = np.prod(np.clip(high - low, 0, None), axis=1)
        union = areas[index] + areas[index + 1 :] - shared
        overlaps = shared > iou_threshold * np.maximum(union, 1e-12)
        alive[index + 1 :] &= ~(overlaps & (classes[index + 1 :] == classes[index]))
    return kept


def class_shares(output: Tensor, labels: Sequence[str]) -> dict[str, float]:
    """Return the share of pixels of each class that occurs, of scores [1, classes, H, W].

    Raises:
        DataError: The output has another shape.
    """
    if output.ndim != 4 or output.shape[0] != 1 or (labels and output.shape[1] != len(labels)):
        raise DataError(f"an output of shape {list(output.shape)} is no segmentation")
    counts = np.bincount(output[0].argmax(axis=0).ravel(), minlength=output.shape[1])
    return {
        labels[i] if labels else str(i): float(count / counts.sum())
        for i, count in enumerate(counts)
        if count
    }


def unit_vector(output: Tensor) -> FloatArray:
    """Return an embedding with length 1, flat; a zero vector stays one."""
    flat = output.ravel().astype(np.float32)
    return flat / np.float32(max(float(np.linalg.norm(flat)), 1e-12))


def _boxes_and_scores(
    outputs: Sequence[Tensor], labels: Sequence[str]
) -> tuple[FloatArray, FloatArray]:
    first = outputs[0]
    if len(outputs) >= 2 and first.ndim == 3 and first.shape[2] == 4:
        boxes, scores = first[0], outputs[1][0]
    elif first.ndim == 3:
        width = 4 + len(labels) if labels else min(first.shape[1:])
        table = first[0] if first.shape[2] == width else first[0].T
        boxes, scores = table[:, :4], table[:, 4:]
    else:
        raise DataError(f"an output of shape {list(first.shape)} is no detection")
    if scores.ndim != 2 or len(scores) != len(boxes) or not scores.shape[1]:
        raise DataError(f"boxes {list(boxes.shape)} and scores {list(scores.shape)} do not match")
    if labels and scores.shape[1] != len(labels):
        raise DataError(f"scores of {scores.shape[1]} classes, and {len(labels)} labels")
    return boxes.astype(np.float32), scores.astype(np.float32)
