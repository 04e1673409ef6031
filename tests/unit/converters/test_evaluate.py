import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.evaluate import (
    MAX_SQNR_DB,
    Parity,
    check_classes,
    check_parity,
    check_varying,
    choose_golden,
    compare,
    golden_spec,
    sqnr_db,
)
from converters.metrics import accuracy, find_metric, top1
from converters.quantize import FP32, INT8
from converters.samples import Samples
from edgekit.errors import DataError, ParityError, ProofError

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(50, 4)).astype(np.float32)


def samples(labels: np.ndarray | None = None) -> Samples:
    labels = np.arange(50) % 4 if labels is None else labels
    return Samples(where="held-out.npz", images=np.zeros((50, 2)), labels=labels, sha256="0" * 64)


TOP1 = find_metric("top1", samples())


def parity(**changes: float) -> Parity:
    good = {"max_abs_diff": 0.0, "relative_diff": 0.0, "sqnr_db": 200.0, "agreement": 1.0}
    return Parity(**{**good, **changes})


def test_answers_that_do_not_vary_prove_nothing():
    with pytest.raises(ProofError, match="does not vary over 50 samples"):
        check_varying((np.full((50, 4), 3.0),), samples())


def test_answers_that_vary_in_the_last_digits_only_prove_nothing():
    nearly = 100 + 1e-4 * RNG.random((50, 4))
    with pytest.raises(ProofError, match="does not vary"):
        check_varying((nearly,), samples())


def test_a_second_output_that_does_not_vary_proves_nothing():
    with pytest.raises(ProofError, match="output 1"):
        check_varying((SCORES, np.ones((50, 2))), samples())


def test_a_source_with_answers_that_are_not_finite_is_refused():
    with pytest.raises(ProofError, match="not finite"):
        check_varying((np.where(SCORES > 1, np.nan, SCORES),), samples())


def test_a_source_whose_answers_vary_is_accepted():
    check_varying((SCORES,), samples())
    check_classes(TOP1, SCORES, samples(), ("a", "b", "c", "d"))


@pytest.mark.parametrize(
    ("scores", "labels", "names", "reason"),
    [
        (RNG.normal(size=(50, 2, 2)), np.arange(50) % 4, (), "one score a class"),
        (SCORES, np.arange(50) % 5, (), "label 4 is beyond the model's 4 classes"),
        (SCORES, np.arange(50) % 4, ("a", "b"), "2 labels for 4 classes"),
    ],
)
def test_classes_and_labels_must_match(
    scores: np.ndarray, labels: np.ndarray, names: tuple[str, ...], reason: str
):
    with pytest.raises(DataError, match=reason):
        check_classes(TOP1, scores, samples(labels), names)


def test_equal_answers_agree_in_everything():
    same = compare((SCORES,), (SCORES.copy(),), where="v")
    assert same == parity(sqnr_db=MAX_SQNR_DB)


def test_the_worst_output_counts():
    other = RNG.normal(size=(50, 3))
    got = compare((SCORES, other), (SCORES, other + 0.5), where="v")
    assert got.max_abs_diff == pytest.approx(0.5)
    assert got.sqnr_db == pytest.approx(sqnr_db(other, other + 0.5))


def test_agreement_is_the_share_of_equal_winners():
    flipped = SCORES.copy()
    flipped[:5] = -flipped[:5]
    changed = int(np.sum(top1(SCORES) != top1(flipped)))
    assert changed == 5
    assert compare((SCORES,), (flipped,), where="v").agreement == pytest.approx(0.9)


@pytest.mark.parametrize("answer", [SCORES[:, :3], np.where(SCORES > 1, np.inf, SCORES)])
def test_answers_of_another_shape_or_not_finite_fail(answer: np.ndarray):
    with pytest.raises(ParityError, match=r"^v: output 0"):
        compare((SCORES,), (answer,), where="v")


@pytest.mark.parametrize(("noise", "expected"), [(0.1, 20.0), (0.01, 40.0), (0.001, 60.0)])
def test_sqnr_is_ten_decibels_a_factor_ten_in_power(noise: float, expected: float):
    signal = np.ones(100)
    assert sqnr_db(signal, signal + noise) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("limits", "bad", "reason"),
    [
        (FP32.limits, {"relative_diff": 2e-4}, "worst difference"),
        (FP32.limits, {"relative_diff": float("nan")}, "worst difference"),
        (FP32.limits, {"sqnr_db": 79.0}, "SQNR 79.0 dB"),
        (INT8.limits, {"sqnr_db": 14.0}, "SQNR 14.0 dB"),
        (INT8.limits, {"agreement": 0.94}, "agreement 94.0%"),
    ],
)
def test_a_broken_limit_is_an_error_that_names_it(limits, bad: dict[str, float], reason: str):
    with pytest.raises(ParityError, match=rf"^onnx-int8: .*{reason}"):
        check_parity(parity(**bad), limits, where="onnx-int8")


def test_int8_is_allowed_what_fp32_is_not():
    noisy = parity(relative_diff=0.1, sqnr_db=30.0, agreement=0.98)
    check_parity(noisy, INT8.limits, where="v")
    with pytest.raises(ParityError):
        check_parity(noisy, FP32.limits, where="v")


def test_accuracy_is_the_share_of_right_winners():
    assert accuracy(np.eye(4), np.array([0, 1, 2, 0])) == 0.75


@given(st.integers(1, 70), st.integers(2, 6))
def test_golden_samples_are_different_and_as_many_as_there_are(count: int, classes: int):
    scores = np.random.default_rng(classes).normal(size=(50, classes))
    chosen = choose_golden(scores, count)
    assert len(chosen) == min(count, 50)
    assert chosen == sorted(set(chosen))


def test_golden_samples_hold_every_class_and_the_nearest_to_the_border():
    scores = np.zeros((40, 4))
    scores[np.arange(40), np.arange(40) % 4] = 5.0
    scores[7] = [0.0, 0.0, 1.0, 1.001]
    chosen = choose_golden(scores, 8)
    assert 7 in chosen
    assert {int(c) for c in top1(scores[chosen])} == {0, 1, 2, 3}


def test_the_golden_tolerance_follows_the_range_of_the_outputs():
    answers = (np.array([[-10.0, 15.5]]),)
    assert golden_spec(answers, INT8.limits, count=1).atol == pytest.approx(0.4)
    spec = golden_spec(answers, FP32.limits, count=1)
    assert spec.atol == spec.allowed("cpu") == pytest.approx(0.00255)
    assert spec.allowed("cuda") == pytest.approx(50 * 0.00255, rel=0.01)
