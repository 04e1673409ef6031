from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.telemetry import (
    CONFIDENCE_BINS,
    OTHER_CLASS,
    TOP_CLASSES,
    LogHistogram,
    confidence_bins,
    top_classes,
)

LATENCIES = st.lists(st.floats(min_value=1e-3, max_value=1e6), max_size=60)
HALF_BIN = 2 ** (0.5 / 16) - 1 + 1e-9


@given(one=LATENCIES, other=LATENCIES)
def test_merging_is_the_histogram_of_both(one, other):
    merged = LogHistogram.of(one).merged(LogHistogram.of(other))
    both = LogHistogram.of(one + other)
    assert (merged.count, merged.bins) == (both.count, both.bins)
    assert merged.is_sound
    assert merged.sum_log == pytest.approx(both.sum_log, abs=1e-9)
    assert merged.sum_log_squared == pytest.approx(both.sum_log_squared, abs=1e-9)


@given(values=LATENCIES.filter(bool), q=st.floats(min_value=0.01, max_value=1.0))
def test_a_quantile_is_off_by_half_a_bin_at_most(values, q):
    exact = sorted(values)[math.ceil(q * len(values)) - 1]
    assert LogHistogram.of(values).quantile(q) == pytest.approx(exact, rel=HALF_BIN)


def test_an_empty_histogram_has_no_quantile():
    assert LogHistogram().quantile(0.5) == 0.0


@pytest.mark.parametrize(
    ("score", "index"),
    [(-0.1, 0), (0.0, 0), (0.049, 0), (0.051, 1), (0.999, 19), (1.0, 19), (7, 19)],
)
def test_a_score_falls_into_one_of_twenty_bins(score, index):
    bins = confidence_bins([score])
    assert len(bins) == CONFIDENCE_BINS
    assert bins[index] == sum(bins) == 1


def test_rare_classes_are_summed_and_none_is_lost():
    counts = {f"class {i}": 1000 - i for i in range(TOP_CLASSES + 10)} | {OTHER_CLASS: 2000}
    kept = top_classes(counts)
    assert sum(kept.values()) == sum(counts.values())
    assert len(kept) <= TOP_CLASSES + 1
    assert kept["class 0"] == 1000


def test_few_classes_stay_as_they_are():
    assert top_classes({"cat": 2, "dog": 1}) == {"cat": 2, "dog": 1}
