"""Rules of answers: boxes, masks, embeddings."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.detection import class_shares, detect, suppress, unit_vector
from edgekit.errors import DataError
from edgekit.manifest import Boxes, Postprocessing, Task

LABELS = ("cat", "dog")
BOXES = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [50, 50, 60, 60], [0, 0, 10, 10]], np.float32)
SCORES = np.array([[0.9, 0.0], [0.8, 0.1], [0.1, 0.7], [0.0, 0.6]], np.float32)
SPEC = Postprocessing(task=Task.DETECTION)


def found(outputs: list[np.ndarray], **how: object) -> list[tuple[str, float]]:
    spec = Postprocessing(task=Task.DETECTION, **how)  # type: ignore[arg-type]
    return [(d.label, round(d.confidence, 2)) for d in detect(outputs, LABELS, spec)]


EXPECTED = [("cat", 0.9), ("dog", 0.7), ("dog", 0.6)]


def joined() -> np.ndarray:
    return np.concatenate([BOXES, SCORES], axis=1)[np.newaxis]


@pytest.mark.parametrize(
    "outputs",
    [
        pytest.param([BOXES[np.newaxis], SCORES[np.newaxis]], id="two outputs"),
        pytest.param([joined()], id="rows"),
        pytest.param([joined().transpose(0, 2, 1)], id="columns"),
    ],
)
def test_of_boxes_that_overlap_the_best_of_a_class_stays(outputs: list[np.ndarray]) -> None:
    assert found(outputs) == EXPECTED


def test_boxes_by_their_center_are_the_same_boxes() -> None:
    size = BOXES[:, 2:] - BOXES[:, :2]
    center = np.concatenate([BOXES[:, :2] + size / 2, size], axis=1)
    spec = Postprocessing(task=Task.DETECTION, boxes=Boxes.CENTER)
    corners = detect([BOXES[np.newaxis], SCORES[np.newaxis]], LABELS, SPEC)
    assert detect([center[np.newaxis], SCORES[np.newaxis]], LABELS, spec) == corners


def test_thresholds_and_limits_hold() -> None:
    outputs = [BOXES[np.newaxis], SCORES[np.newaxis]]
    assert found(outputs, score_threshold=0.65) == EXPECTED[:2]
    assert found(outputs, max_detections=1) == EXPECTED[:1]
    assert len(found(outputs, iou_threshold=0.99)) == 4
    assert found(outputs, score_threshold=0.95) == []


def test_suppression_is_that_of_the_slow_definition() -> None:
    rng = np.random.default_rng(5)
    corner = rng.uniform(0, 80, (200, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 30, (200, 2))], axis=1)
    classes = rng.integers(0, 3, 200)

    def iou(a: np.ndarray, b: np.ndarray) -> float:
        w = min(a[2], b[2]) - max(a[0], b[0])
        h = min(a[3], b[3]) - max(a[1], b[1])
        shared = max(w, 0) * max(h, 0)
        area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
        return float(shared / (area - shared))

    kept: list[int] = []
    for i in range(200):
        rivals = [k for k in kept if classes[k] == classes[i]]
        if all(iou(boxes[k], boxes[i]) <= 0.4 for k in rivals):
            kept.append(i)
    assert suppress(boxes.astype(np.float32), classes, iou_threshold=0.4) == kept


@pytest.mark.parametrize(
    "outputs",
    [
        pytest.param([np.zeros((1, 3), np.float32)], id="a classifier"),
        pytest.param([np.zeros((1, 5, 4)), np.zeros((1, 4, 2))], id="other counts"),
        pytest.param([np.zeros((1, 5, 4)), np.zeros((1, 5, 3))], id="other classes"),
    ],
)
def test_what_is_no_detection_is_refused(outputs: list[np.ndarray]) -> None:
    with pytest.raises(DataError):
        detect(outputs, LABELS, SPEC)


def test_a_segmentation_is_told_by_its_shares() -> None:
    scores = np.zeros((1, 2, 2, 2), np.float32)
    scores[0, 1, 0, 0] = 1
    assert class_shares(scores, LABELS) == {"cat": 0.75, "dog": 0.25}
    with pytest.raises(DataError):
        class_shares(scores, ("one", "two", "three"))


def test_an_embedding_has_length_one() -> None:
    assert np.allclose(unit_vector(np.array([[3.0, 4.0]])), [0.6, 0.8])
    assert np.array_equal(unit_vector(np.zeros((1, 2))), [0, 0])
