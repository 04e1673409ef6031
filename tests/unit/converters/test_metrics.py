from collections.abc import Callable

import numpy as np
import pytest

from converters.metrics import doubts, find_metric, truth_of
from converters.samples import Samples
from edgekit.errors import DataError, UsageError

SCORES = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.3, 0.4, 0.3]])
LABELS = np.array([1, 1, 2, 0])


def samples(labels: np.ndarray | None = LABELS, **arrays: np.ndarray) -> Samples:
    return Samples(
        where="s.npz", images=np.zeros((4, 2)), labels=labels, sha256="0" * 64, arrays=arrays
    )


@pytest.mark.parametrize(
    ("name", "value"), [("top1", 0.5), ("top2", 1.0), ("agreement", 1.0), ("f1", 0.5)]
)
def test_measures_of_classes(name: str, value: float):
    metric = find_metric(name, samples())
    assert metric.value((SCORES,), truth_of(metric, samples(), SCORES)) == pytest.approx(value)


@pytest.mark.parametrize(
    ("said", "doubt"),
    [
        (lambda truth, _: truth, None),
        (lambda truth, rng: np.where(rng.random(200) < 0.6, truth, 9), None),
        (lambda truth, _: np.maximum(truth - 1, 0), "off by one: do they count from 0"),
        (lambda truth, _: truth + 1, "off by one: do they count from 0"),
        (lambda _, rng: rng.integers(0, 10, 200), "as guessing among 10 classes would be"),
        (lambda truth, _: np.zeros_like(truth), "as guessing among 10 classes would be"),
    ],
    ids=["right", "often right", "from one", "from minus one", "random", "always one class"],
)
def test_labels_that_a_source_does_not_bear_out_are_doubted(
    said: Callable[[np.ndarray, np.random.Generator], np.ndarray], doubt: str | None
):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 9, 200)
    scores = np.eye(10)[said(truth, rng)]
    found = doubts(find_metric("top1", samples(truth)), (scores,), truth)
    assert len(found) == (doubt is not None)
    assert doubt is None or doubt in found[0]


@pytest.mark.parametrize("name", ["agreement", "parity", "mae"])
def test_measures_without_labels_doubt_none(name: str):
    metric = find_metric(name, samples(targets=np.zeros((4, 3))))
    assert doubts(metric, (SCORES,), np.zeros(4)) == ()


def test_an_error_counts_against_a_model():
    metric = find_metric("mae", samples(targets=np.zeros((4, 3))))
    assert metric.value((np.full((4, 3), 2.0),), np.zeros((4, 3))) == -2.0


@pytest.mark.parametrize(("error", "decibels"), [(25.5, 20.0), (2.55, 40.0), (0.0, 100.0)])
def test_psnr_is_relative_to_the_peak_of_the_targets(error: float, decibels: float):
    targets = np.full((4, 5), 100, np.uint8)
    metric = find_metric("psnr", samples(targets=targets))
    assert metric.value((targets + error,), targets) == pytest.approx(decibels)


def test_parity_has_no_accuracy_and_needs_no_labels():
    metric = find_metric("parity", samples(None))
    assert metric.value((SCORES,), truth_of(metric, samples(None), SCORES)) is None


def test_a_user_s_own_function_measures():
    metric = find_metric("converters.metrics:f1", samples())
    assert metric.value((SCORES,), LABELS) == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["top1", "f1", "mae", "psnr"])
def test_a_measure_without_what_is_true_is_refused(name: str):
    with pytest.raises(DataError, match=r"s\.npz: holds no labels.*--metric agreement"):
        find_metric(name, samples(None))


@pytest.mark.parametrize("name", ["top0", "best", "no.such.module:f", "converters.metrics:absent"])
def test_an_unknown_measure_is_refused(name: str):
    with pytest.raises(UsageError, match="--metric"):
        find_metric(name, samples())


def test_targets_of_another_size_are_refused():
    metric = find_metric("mae", samples(targets=np.zeros((4, 2))))
    with pytest.raises(DataError, match=r"targets have shape \[2\], the output \[3\]"):
        metric.value((SCORES,), np.zeros((4, 2)))
