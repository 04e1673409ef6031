from __future__ import annotations

import numpy as np
import pytest

from edgekit.bench.steadiness import (
    Steadiness,
    block_medians,
    drift,
    judge,
    noise_floor,
    warmed,
)


@pytest.mark.parametrize(
    ("medians", "expected"),
    [
        ([], False),
        ([10.0, 10.0, 10.0], False),
        ([30.0, 10.0, 10.1, 10.2], True),
        ([30.0, 20.0, 15.0, 12.0], False),
        ([30.0, 10.0, 14.0, 11.0, 13.0], True),
    ],
    ids=["nothing yet", "too few blocks", "settled", "still getting faster", "noisy, no faster"],
)
def test_warm_is_what_agrees_or_gets_no_faster(medians, expected):
    assert warmed(medians) is expected


def test_blocks_are_equal_parts_in_order():
    assert block_medians([1.0, 1.0, 5.0, 5.0, 9.0, 9.0], 3) == [1.0, 5.0, 9.0]
    assert block_medians([1.0], 3) == []


def steady(rng: np.random.Generator, count: int = 400) -> np.ndarray:
    return 10.0 + rng.exponential(0.5, count)


def judged(samples: np.ndarray, **seen: object) -> Steadiness | None:
    known: dict[str, object] = {"throttle_events": 0, "frequencies_mhz": (), **seen}
    return judge(samples.tolist(), **known)  # type: ignore[arg-type]


def test_a_steady_machine_is_rarely_called_anything_else():
    rng = np.random.default_rng(3)
    verdicts = [judged(steady(rng)) for _ in range(300)]
    assert verdicts.count(Steadiness.STABLE) >= 297


def test_a_machine_that_slows_by_ten_percent_drifts():
    rng = np.random.default_rng(5)
    slower = steady(rng) * np.linspace(1.0, 1.1, 400)
    found = drift(slower.tolist())
    assert found is not None
    assert found.change == pytest.approx(0.1, abs=0.03)
    assert judged(slower) is Steadiness.DRIFTING


def test_throttled_takes_evidence_from_the_machine():
    samples = steady(np.random.default_rng(7))
    assert judged(samples, throttle_events=1) is Steadiness.THROTTLED
    assert judged(samples, frequencies_mhz=[1800.0] * 8 + [1200.0] * 8) is Steadiness.THROTTLED
    assert judged(samples, frequencies_mhz=[1800.0] * 16) is Steadiness.STABLE


def test_too_few_measurements_are_no_stability():
    assert judged(np.ones(19)) is None
    assert judged(np.ones(20)) is Steadiness.STABLE


def test_the_noise_floor_grows_with_the_noise():
    rng = np.random.default_rng(11)
    quiet = noise_floor((10 + rng.normal(0, 0.05, 800)).tolist(), rng=rng)
    loud = noise_floor((10 + rng.normal(0, 2.0, 800)).tolist(), rng=rng)
    assert quiet is not None
    assert loud is not None
    assert quiet < 0.005 < loud
    assert noise_floor([1.0] * 8, rng=rng) is None
