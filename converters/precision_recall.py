"""Mean average precision of detectors, by COCO's own evaluation.

Boxes are what a device would report: the postprocessing that ships, with its thresholds. Truth is
an array [N, K, 5]: class, left, top, right, bottom in pixels of the model's input; a class below 0
is no object.

Source: COCO detection evaluation, AP at IoU 0.50:0.05:0.95, all areas, 100 detections.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from converters.extras import need
from edgekit.detection import detect
from edgekit.errors import DataError
from edgekit.manifest import Postprocessing
from edgekit.runtime.base import Tensor

_MOST = 100


def precision_scorer(
    answers: tuple[Tensor, ...], truth: Tensor, spec: Postprocessing, labels: Sequence[str]
) -> Callable[[Tensor], float]:
    """Return what gives the mean average precision, in [0, 1], of chosen samples (repeats count).

    Args:
        answers: The model's outputs, [N, ...] each.
        truth: [N, K, 5].
        spec: How outputs become boxes.
        labels: Class names by index; empty where outputs tell the number of classes.

    Raises:
        DataError: Truth of another shape, or outputs that are no detections.
    """
    if truth.ndim != 3 or truth.shape[2] != 5:
        raise DataError(
            f"targets have shape {list(truth.shape)}, boxes are [N, K, 5]: "
            "class, left, top, right, bottom"
        )
    found = [_found(answers, index, labels, spec) for index in range(len(truth))]
    wanted = [[(int(row[0]), row[1:]) for row in rows if row[0] >= 0] for rows in truth]
    matched = _matched(wanted, found)
    images, classes = len(truth), len(matched.params.catIds)

    def score(chosen: Tensor) -> float:
        each = [matched.evalImgs[k * images + int(i)] for k in range(classes) for i in chosen]
        return _accumulated(matched, each, len(chosen))

    return score


def _found(
    answers: tuple[Tensor, ...], index: int, labels: Sequence[str], spec: Postprocessing
) -> list[tuple[int, Tensor, float]]:
    names = {label: number for number, label in enumerate(labels)}
    boxes = detect([answer[index : index + 1] for answer in answers], labels, spec)
    return [
        (names[box.label] if names else int(box.label), np.asarray(box.box), box.confidence)
        for box in boxes
    ]


def _matched(
    wanted: list[list[tuple[int, Tensor]]], found: list[list[tuple[int, Tensor, float]]]
) -> Any:  # noqa: ANN401 (pycocotools)
    """Return COCO's evaluation with each image's matches made, one area range."""
    module = need("pycocotools.cocoeval")
    truths = [(i, c, box, 0.0) for i, rows in enumerate(wanted) for c, box in rows]
    guesses = [(i, *row) for i, rows in enumerate(found) for row in rows]
    classes = sorted({row[1] for row in truths} | {row[1] for row in guesses})
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = module.COCOeval(
            _dataset(truths, classes, len(wanted)), _dataset(guesses, classes, len(wanted)), "bbox"
        )
        evaluation.params.areaRng = [[0, 1e10]]
        evaluation.params.areaRngLbl = ["all"]
        evaluation.params.maxDets = [_MOST]
        evaluation.evaluate()
    return evaluation


def _dataset(
    rows: Sequence[tuple[int, int, Tensor, float]], classes: Sequence[int], images: int
) -> Any:  # noqa: ANN401 (pycocotools)
    dataset = need("pycocotools.coco").COCO()
    dataset.dataset = {
        "images": [{"id": index} for index in range(images)],
        "categories": [{"id": index} for index in classes],
        "annotations": [_annotation(*row, number) for number, row in enumerate(rows, start=1)],
    }
    dataset.createIndex()
    return dataset


def _annotation(image: int, kind: int, box: Tensor, score: float, number: int) -> dict[str, Any]:
    left, top, right, bottom = map(float, box)
    width, height = right - left, bottom - top
    return {
        "id": number,
        "image_id": image,
        "category_id": kind,
        "bbox": [left, top, width, height],
        "area": width * height,
        "iscrowd": 0,
        "score": score,
    }


def _accumulated(matched: Any, each: list[Any], images: int) -> float:  # noqa: ANN401 (pycocotools)
    """Return the mean precision over classes, overlaps and recalls; 0 where nothing is to find."""
    module = need("pycocotools.cocoeval")
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = module.COCOeval(matched.cocoGt, matched.cocoDt, "bbox")
        evaluation.params = matched.params
        evaluation.params.imgIds = list(range(images))
        evaluation._paramsEval = evaluation.params  # noqa: SLF001 (its own evaluate sets it)
        evaluation.evalImgs = each
        evaluation.accumulate()
    precision = evaluation.eval["precision"]
    known = precision[precision > -1]
    return float(known.mean()) if known.size else 0.0
