"""Where a NaN hides in the outputs of a model."""

from __future__ import annotations

import numpy as np
import pytest

from device_agent.worker.engine import NanAnswerError, holds_nan, read_answer
from edgekit.runtime.base import Tensor
from tests.manifests import PLAIN

NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("outputs", "found"),
    [
        pytest.param([np.array([[1, NAN]], np.float32)], True, id="last"),
        pytest.param([np.array([NAN, 2.0, INF])], True, id="before infinity"),
        pytest.param([np.zeros(3, np.float16), np.full((2, 2), NAN, np.float16)], True, id="half"),
        pytest.param([np.array([[INF, -INF]], np.float32)], False, id="infinite"),
        pytest.param([np.arange(4)], False, id="integers"),
        pytest.param([np.zeros((0, 4), np.float32)], False, id="empty"),
        pytest.param([], False, id="none"),
    ],
)
def test_a_nan_is_found_wherever_it_is(outputs: list[Tensor], found: bool) -> None:
    assert holds_nan(outputs) is found


def test_a_nan_is_found_at_every_place_of_a_long_output() -> None:
    for place in range(0, 1000, 7):
        output = np.random.default_rng(place).normal(size=(1, 1000)).astype(np.float32)
        output[0, place] = NAN
        assert holds_nan([output])


@pytest.mark.parametrize("classes", [2, 10, 32, 33, 1000])
def test_a_nan_is_found_at_every_place_of_the_scores_of_a_classifier(classes: int) -> None:
    for logits in (False, True):
        scores = np.random.default_rng(classes).random((1, classes)).astype(np.float32)
        scores = scores * 20 - 10 if logits else scores / scores.sum()
        assert read_answer([scores], PLAIN)[0] is not None
        for place in {0, 1, classes // 2, classes - 1}:
            broken = scores.copy()
            broken[0, place] = NAN
            with pytest.raises(NanAnswerError):
                read_answer([broken], PLAIN)


def test_a_nan_is_found_where_there_are_no_classes_and_in_further_outputs() -> None:
    good, bad = np.zeros((1, 1), np.float32), np.full((1, 1), NAN, np.float32)
    assert read_answer([good], PLAIN) == (None, None)
    for outputs in ([bad], [np.zeros((1, 2), np.float32), bad]):
        with pytest.raises(NanAnswerError):
            read_answer(outputs, PLAIN)
