from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.bench.statistics import (
    Comparison,
    median_ranks,
    minimum_queries,
    paired_ratio,
    percentile_bound,
    ratio,
    summarize,
)
from edgekit.errors import InconclusiveError

SAMPLES = st.lists(st.floats(min_value=0.001, max_value=1e4), min_size=1, max_size=200)


@pytest.mark.parametrize(
    ("percentile", "outliers", "queries"),
    [(0.90, 1, 64), (0.95, 1, 130), (0.99, 1, 662), (0.90, 2, 81), (0.90, 3, 97)],
)
def test_a_percentile_takes_the_queries_that_mlperf_asks_for(percentile, outliers, queries):
    assert minimum_queries(percentile, outliers) == queries


@pytest.mark.parametrize(("count", "dropped"), [(64, 0), (80, 0), (81, 1), (96, 1), (97, 2)])
def test_the_bound_drops_as_many_outliers_as_it_may(count, dropped):
    assert percentile_bound(list(range(count)), 0.90) == count - 1 - dropped


def test_a_percentile_below_its_minimum_is_never_printed():
    with pytest.raises(InconclusiveError, match="take at least 64"):
        percentile_bound([1.0] * 63, 0.90)
    assert summarize([1.0] * 63, unit="ms").p90 is None
    assert summarize([1.0] * 64, unit="ms").p90 == 1.0


def test_the_bound_lies_above_the_true_percentile_99_times_of_100():
    rng = np.random.default_rng(5)
    trials = rng.exponential(size=(2000, 128))
    truth = -np.log(0.1)
    misses = sum(percentile_bound(list(trial), 0.90) < truth for trial in trials)
    assert misses <= 0.015 * len(trials)


@pytest.mark.parametrize(
    ("count", "ranks"), [(1, (0, 0)), (5, (0, 4)), (6, (0, 5)), (10, (1, 8)), (100, (39, 60))]
)
def test_the_median_lies_between_two_order_statistics(count, ranks):
    assert median_ranks(count) == ranks


def test_the_interval_holds_the_true_median_95_times_of_100():
    rng = np.random.default_rng(7)
    summaries = [summarize(list(t), unit="ms") for t in rng.lognormal(size=(1000, 40))]
    inside = sum(s.interval.low <= 1.0 <= s.interval.high for s in summaries)
    assert inside >= 0.94 * len(summaries)


@given(samples=SAMPLES)
def test_a_summary_is_in_order(samples):
    s = summarize(samples, unit="ms")
    ends = [s.minimum, s.interval.low, s.median, s.interval.high, s.maximum]
    assert ends == sorted(ends)
    assert s.count == len(samples)


def test_nothing_measured_is_no_summary():
    with pytest.raises(InconclusiveError):
        summarize([], unit="ms")
    with pytest.raises(InconclusiveError):
        ratio([], [1.0], rng=np.random.default_rng(0))


def test_a_machine_that_was_not_quiet_is_said():
    assert summarize([1.0, 1.01, 0.99], unit="ms").steady
    assert not summarize([1.0, 1.2, 0.8], unit="ms").steady


@pytest.mark.parametrize(
    ("factor", "expected"),
    [(1.0, Comparison.INDISTINGUISHABLE), (1.5, Comparison.HIGHER), (0.6, Comparison.LOWER)],
)
def test_a_ratio_says_whether_it_can_tell_the_two_apart(factor, expected):
    rng = np.random.default_rng(11)
    base = rng.normal(10.0, 1.0, 200)
    found = ratio(list(factor * rng.permutation(base)), list(base), rng=rng)
    assert found.comparison is expected
    assert found.interval.low <= found.value <= found.interval.high


def test_pairs_see_through_a_machine_that_changes_its_speed():
    rng = np.random.default_rng(13)
    speed = rng.uniform(1.0, 5.0, 30)
    ours = list(0.9 * speed * rng.normal(1.0, 0.01, 30))
    paired = paired_ratio(ours, list(speed), rng=rng)
    assert paired.comparison is Comparison.LOWER
    assert ratio(ours, list(speed), rng=rng).comparison is Comparison.INDISTINGUISHABLE


def test_pairs_need_the_same_rounds():
    with pytest.raises(InconclusiveError):
        paired_ratio([1.0], [1.0, 2.0], rng=np.random.default_rng(0))
