"""Whether two answers to one input agree, by task."""

from __future__ import annotations

import numpy as np
import pytest

from device_agent.worker.agreement import agree, close, same_objects, same_pixels
from edgekit.manifest import Postprocessing, Task
from edgekit.shadow import ShadowOrder

BOX = {"label": "cat", "confidence": 0.9, "box": (0.0, 0.0, 10.0, 10.0)}
MOVED = {**BOX, "box": (0.0, 0.0, 10.0, 11.0)}
FAR = {**BOX, "box": (50.0, 50.0, 60.0, 60.0)}
DOG = {**BOX, "label": "dog"}


@pytest.mark.parametrize(
    ("ours", "theirs", "share"),
    [
        ([], [], 1.0),
        ([BOX], [], 0.0),
        ([BOX], [MOVED], 1.0),
        ([BOX], [DOG], 0.0),
        ([BOX], [FAR], 0.0),
        ([BOX, FAR], [MOVED], 2 / 3),
        ([BOX], [MOVED, MOVED], 2 / 3),
    ],
    ids=["none", "missed", "moved", "another class", "elsewhere", "one more", "seen twice"],
)
def test_objects_match_by_class_and_overlap_once_each(ours, theirs, share) -> None:
    assert same_objects(ours, theirs) == pytest.approx(share)


def test_pixels_are_compared_by_mean_overlap_of_the_classes_that_occur() -> None:
    a = np.zeros((1, 3, 2, 2), np.float32)
    a[0, 0] = 1.0
    b = a.copy()
    b[0, 1, 0, 0] = 2.0  # one of four pixels is another class
    assert same_pixels(a, a) == 1.0
    assert same_pixels(a, b) == pytest.approx((3 / 4 + 0) / 2)
    assert same_pixels(a, b[:, :, :1]) == 0.0


def test_other_outputs_agree_within_a_share_of_the_largest_value() -> None:
    serving = [np.array([[10.0, -2.0]])]
    assert close([np.array([[10.9, -2.0]])], serving, tolerance=0.1)
    assert not close([np.array([[11.1, -2.0]])], serving, tolerance=0.1)
    assert not close([np.array([[np.nan, -2.0]])], serving, tolerance=0.1)
    assert not close([np.array([10.0, -2.0])], serving, tolerance=0.1)


def of_task(task: Task) -> Postprocessing:
    return Postprocessing(task=task)


def test_a_class_is_compared_by_its_name_and_not_by_its_place() -> None:
    order, spec = ShadowOrder(), of_task(Task.CLASSIFICATION)
    scores = [np.array([[0.1, 0.9]])]
    assert agree(spec, order, ours=("cat", None, scores), serving=("cat", None, []))
    assert not agree(spec, order, ours=("cat", None, scores), serving=("dog", None, []))


def test_each_task_has_its_own_comparison() -> None:
    order = ShadowOrder(similarity=0.6)
    detector = of_task(Task.DETECTION)
    assert agree(detector, order, ours=("", [BOX, FAR], []), serving=("", [MOVED], []))
    assert not agree(detector, order, ours=("", [DOG], []), serving=("", [BOX], []))
    pixels = np.zeros((1, 2, 2, 2))
    one, other = ("", None, [pixels]), ("", None, [1 - pixels])
    assert agree(of_task(Task.SEGMENTATION), order, ours=one, serving=other)
    assert not agree(of_task(Task.SEGMENTATION), order, ours=one, serving=("", None, []))
    assert not agree(of_task(Task.EMBEDDING), order, ours=one, serving=other)
