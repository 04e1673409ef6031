from __future__ import annotations

import math

import numpy as np
import pytest

from edgekit.bench import Interval, Ratio, paired_ratio, record, summarize
from edgekit.bench.compare import (
    CompareReport,
    Difference,
    noise,
    require_not_slower,
    verdict,
)
from edgekit.errors import EdgeKitError, InconclusiveError


def ratio_of(low: float, value: float, high: float) -> Ratio:
    return Ratio(value=value, interval=Interval(low=low, high=high))


NO_NOISE = ratio_of(1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("ratio", "floor", "expected"),
    [
        (ratio_of(1.04, 1.05, 1.06), 0.01, Difference.SLOWER),
        (ratio_of(0.93, 0.94, 0.95), 0.01, Difference.FASTER),
        (ratio_of(1.04, 1.05, 1.06), 0.05, Difference.INDISTINGUISHABLE),
        (ratio_of(0.99, 1.02, 1.05), 0.0, Difference.INDISTINGUISHABLE),
    ],
    ids=["slower", "faster", "within the noise", "interval holds 1"],
)
def test_a_difference_counts_only_beyond_the_noise(ratio, floor, expected):
    assert verdict(ratio, floor) is expected


def test_the_noise_is_the_worst_that_a_file_did_against_itself():
    assert noise(ratio_of(0.99, 1.0, 1.02), [1.0]) == pytest.approx(math.log(1.02))
    assert noise(ratio_of(0.99, 1.0, 1.02), [0.9, 1.0]) == pytest.approx(-math.log(0.9))


def report(ratio: Ratio, floor: float = 0.01) -> CompareReport:
    summary = summarize([1.0, 1.1], unit="ms")
    return CompareReport(
        a="a.onnx",
        b="b.onnx",
        digests=("", ""),
        runtimes=("", ""),
        inference_a=summary,
        inference_b=summary,
        ratio=ratio,
        same=NO_NOISE,
        floor=floor,
        difference=verdict(ratio, floor),
        threads=1,
        blocks_a=(),
        blocks_b=(),
        environment=record(),
    )


def test_a_ci_lets_pass_what_is_surely_not_slower_than_the_limit():
    require_not_slower(report(ratio_of(1.01, 1.02, 1.04)), 0.05)
    require_not_slower(report(ratio_of(0.8, 0.9, 0.95)), 0.05)


def test_a_ci_fails_on_what_is_surely_slower_than_the_limit():
    with pytest.raises(EdgeKitError, match=r"\+20.0% slower") as caught:
        require_not_slower(report(ratio_of(1.15, 1.2, 1.25)), 0.05)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("ratio", "floor"),
    [(ratio_of(1.02, 1.06, 1.10), 0.01), (ratio_of(1.15, 1.2, 1.25), 0.3)],
    ids=["the interval holds the limit", "the noise is larger than the difference"],
)
def test_a_ci_is_told_when_nobody_can_say(ratio, floor):
    with pytest.raises(InconclusiveError, match="compare longer"):
        require_not_slower(report(ratio, floor), 0.05)


def test_equal_files_are_called_different_at_most_one_time_in_twenty():
    rng = np.random.default_rng(17)
    wrong = 0
    for _ in range(100):
        speed = rng.uniform(1.0, 2.0, 54)
        a, b = (speed * rng.normal(10, 0.3, 54) for _ in range(2))
        same = paired_ratio(list(a[:18]), list(b[:18]), rng=rng)
        compared = paired_ratio(list(a[18:]), list(b[18:]), rng=rng)
        wrong += verdict(compared, noise(same, [])) is not Difference.INDISTINGUISHABLE
    assert wrong <= 5
