"""Intervals and tests, against scipy and against hand-computed values."""

import math

import numpy as np
import pytest
from scipy import stats

from fleet_server.domain.statistics import (
    difference,
    more_silent_p,
    smallest_visible_slowdown,
    wilson,
)


@pytest.mark.parametrize(("hits", "trials"), [(0, 20), (1, 20), (10, 20), (20, 20), (300, 20_000)])
def test_wilson_agrees_with_scipy(hits: int, trials: int) -> None:
    ours = wilson(hits, trials, alpha=0.025)
    theirs = stats.binomtest(hits, trials).proportion_ci(confidence_level=0.95, method="wilson")
    assert ours.share == hits / trials
    assert ours.low == pytest.approx(theirs.low, abs=1e-12)
    assert ours.high == pytest.approx(theirs.high, abs=1e-12)


def test_no_trial_says_nothing() -> None:
    found = wilson(0, 0, alpha=0.05)
    assert (found.low, found.high) == (0.0, 1.0)


def test_difference_is_the_pooled_t_test() -> None:
    rng = np.random.default_rng(1)
    canaries = [float(x) for x in rng.normal(0.2, 0.1, 4)]
    controls = [float(x) for x in rng.normal(0.0, 0.1, 11)]
    ours = difference(canaries, controls, alpha=0.01)
    theirs = stats.ttest_ind(canaries, controls, equal_var=True)
    interval = theirs.confidence_interval(confidence_level=0.98)
    assert ours.degrees == 13
    assert ours.estimate / ours.standard_error == pytest.approx(float(theirs.statistic))
    assert ours.low == pytest.approx(float(interval.low))
    assert ours.high == pytest.approx(float(interval.high))


def test_one_canary_borrows_the_variance_of_the_controls() -> None:
    found = difference([0.5], [0.0, 0.1, -0.1], alpha=0.01)
    assert found.degrees == 2
    assert found.standard_error == pytest.approx(math.sqrt(0.01 * (1 + 1 / 3)))


@pytest.mark.parametrize(
    ("canaries", "controls"), [([], [0.1, 0.2, 0.3]), ([0.1, 0.2, 0.3], []), ([0.1], [0.2])]
)
def test_too_few_devices_have_no_variance(canaries: list[float], controls: list[float]) -> None:
    with pytest.raises(ValueError, match="too few"):
        difference(canaries, controls, alpha=0.01)


def test_devices_that_change_alike_leave_no_doubt() -> None:
    found = difference([0.3, 0.3, 0.3], [0.0, 0.0, 0.0], alpha=0.01)
    assert found.low == found.high == pytest.approx(0.3)
    assert smallest_visible_slowdown(found, margin=0.1) == pytest.approx(0.1)


def test_the_visible_slowdown_is_seen_about_four_times_in_five() -> None:
    rng = np.random.default_rng(2)
    sd, seen, trials = 0.05, 0, 600
    standard_error = sd * math.sqrt(1 / 5 + 1 / 20)
    reference = difference([0.0] * 5, [0.0] * 20, alpha=0.01)
    effect = math.log(1.1) + (reference.critical + stats.t.ppf(0.8, 23)) * standard_error
    for _ in range(trials):
        canaries = [float(x) for x in rng.normal(effect, sd, 5)]
        controls = [float(x) for x in rng.normal(0.0, sd, 20)]
        seen += difference(canaries, controls, alpha=0.01).low > math.log(1.1)
    assert 0.74 < seen / trials < 0.86


def test_statistics_cannot_see_a_single_dead_canary() -> None:
    p = more_silent_p(silent_canaries=1, canaries=1, silent_controls=0, controls=5)
    assert p == pytest.approx(1 / 6)


def test_fisher_sees_many_dead_canaries_and_no_outage() -> None:
    assert more_silent_p(silent_canaries=5, canaries=8, silent_controls=0, controls=40) < 0.001
    assert more_silent_p(silent_canaries=5, canaries=5, silent_controls=9, controls=9) == 1.0
