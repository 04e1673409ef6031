"""From scores to a class."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.postprocessing import classify


def test_logits_become_a_probability() -> None:
    top = classify(np.array([[0.0, np.log(3.0)]], np.float32), ("a", "b"))
    assert top is not None
    assert top.label == "b"
    assert top.confidence == pytest.approx(0.75)


def test_probabilities_stay_what_they_are() -> None:
    top = classify(np.array([[0.2, 0.8]], np.float32), ())
    assert top is not None
    assert top.label == "1"
    assert top.confidence == pytest.approx(0.8)


def test_large_logits_do_not_overflow() -> None:
    top = classify(np.array([1e4, -1e4], np.float32), ("a", "b"))
    assert top is not None
    assert top.confidence == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("shape", "labels"),
    [((1, 3), ("a", "b")), ((1, 2, 2), ("a", "b")), ((1, 1), ())],
)
def test_other_shapes_have_no_class(shape: tuple[int, ...], labels: tuple[str, ...]) -> None:
    assert classify(np.zeros(shape, np.float32), labels) is None


def test_logits_that_could_be_a_probability_are_told_by_their_sum_and_sign() -> None:
    for row in ([0.5, 0.4], [0.9, -0.1, 0.2]):
        top = classify(np.array(row, np.float32), ())
        away = np.exp(np.array(row) - max(row))
        assert top is not None
        assert top.confidence == pytest.approx(1 / away.sum())


@pytest.mark.parametrize("classes", [2, 32, 33, 1000])
def test_few_and_many_classes_are_softmax_alike(classes: int) -> None:
    row = np.random.default_rng(classes).normal(2, 3, classes).astype(np.float32)
    whole = np.exp(row.astype(np.float64) - row.max())
    top = classify(row, ())
    assert top is not None
    assert top.label == str(row.argmax())
    assert top.confidence == pytest.approx(whole.max() / whole.sum(), abs=1e-9)
