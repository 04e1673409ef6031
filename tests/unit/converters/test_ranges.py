import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.quantize import Method
from converters.quantize.ranges import choose_range, histogram

RNG = np.random.default_rng(0)
BELL = RNG.normal(size=200_000).astype(np.float32)
OUTLIER = np.concatenate([BELL, [60.0]]).astype(np.float32)


def chosen(values: np.ndarray, method: Method) -> tuple[float, float]:
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    return choose_range(histogram(values, low, high), low, high, method)


def error(values: np.ndarray, ends: tuple[float, float]) -> float:
    low, high = ends
    step = (high - low) / 255
    rounded = np.clip(np.rint(values / step), np.rint(low / step), np.rint(high / step)) * step
    return float(np.mean((rounded - values) ** 2))


def test_min_max_keeps_every_value():
    assert chosen(OUTLIER, Method.MIN_MAX) == (float(OUTLIER.min()), 60.0)


@pytest.mark.parametrize("method", [Method.PERCENTILE, Method.MSE, Method.ENTROPY])
def test_one_value_far_away_does_not_decide(method: Method):
    low, high = chosen(OUTLIER, method)
    assert high < 50
    assert low <= -1


def test_mse_costs_least():
    best = error(OUTLIER, chosen(OUTLIER, Method.MSE))
    for method in (Method.MIN_MAX, Method.PERCENTILE):
        assert best <= error(OUTLIER, chosen(OUTLIER, method)) * 1.05


@pytest.mark.parametrize("method", list(Method))
@given(st.floats(-50, 40), st.floats(0.1, 30))
def test_every_range_holds_zero_and_stays_within_the_values(
    method: Method, low: float, width: float
):
    values = np.linspace(low, low + width, 999, dtype=np.float32)
    left, right = chosen(values, method)
    assert left <= 0 <= right
    assert left >= min(low, 0) - 1e-3
    assert right <= max(low + width, 0) + 1e-3


def test_values_beyond_the_edges_count_at_the_edges():
    counts = histogram(np.array([-9.0, 0.5, 9.0]), 0.0, 1.0)
    assert counts.sum() == 3
    assert counts[0] == counts[-1] == 1


def test_a_constant_has_one_bin():
    assert histogram(np.full(7, 3.0), 3.0, 3.0)[0] == 7
