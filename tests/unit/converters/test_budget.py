import numpy as np
import pytest

from converters.budget import Judgement, judge_drop, tango_interval
from converters.metrics import find_metric
from converters.samples import Samples
from edgekit.verdict import Verdict


def judged(lost: int, won: int, samples: int, allowed: float, *, metric: str = "top1") -> Judgement:
    """Judge a variant that lost and won so many of the source's answers, all others right."""
    truth = np.zeros(samples, np.int64)
    before, after = (np.tile([1.0, 0.0], (samples, 1)) for _ in range(2))
    after[:lost] = before[lost : lost + won] = [0.0, 1.0]
    held_out = Samples(where="s", images=np.zeros((samples, 2)), labels=truth, sha256="0" * 64)
    return judge_drop(find_metric(metric, held_out), (before,), (after,), truth, allowed=allowed)


def score(lost: int, won: int, samples: int, difference: float) -> float:
    """Return the score statistic, with the nuisance share found by searching the likelihood."""

    def unlikely(won_share: float) -> float:
        lost_share = won_share + difference
        same = 1 - won_share - lost_share
        if min(won_share, lost_share, same) <= 0:
            return float("inf")
        parts = ((lost, lost_share), (won, won_share), (samples - lost - won, same))
        return -float(sum(count * np.log(share) for count, share in parts))

    grid = np.linspace(max(0.0, -difference), (1 - difference) / 2, 200_001)[1:-1]
    share = min(grid, key=unlikely)
    variance = samples * (2 * share + difference - difference**2)
    return float((lost - won - samples * difference) / np.sqrt(variance))


@pytest.mark.parametrize(("lost", "won", "samples"), [(12, 1, 44), (5, 9, 200)])
def test_the_ends_of_the_interval_are_where_the_score_test_turns(lost: int, won: int, samples: int):
    low, high = tango_interval(lost, won, samples)
    assert low < (lost - won) / samples < high
    assert score(lost, won, samples, low) == pytest.approx(1.96, abs=2e-3)
    assert score(lost, won, samples, high) == pytest.approx(-1.96, abs=2e-3)


@pytest.mark.parametrize("samples", [50, 500])
def test_without_any_change_the_interval_is_that_of_none(samples: int):
    z2 = 1.959964**2
    low, high = tango_interval(0, 0, samples)
    assert high == pytest.approx(z2 / (samples + z2), abs=1e-6)
    assert low == pytest.approx(-high, abs=1e-6)


@pytest.mark.parametrize(
    ("lost", "won", "samples", "allowed", "verdict"),
    [
        (0, 0, 2000, 0.5, Verdict.PASS),
        (3, 3, 5000, 0.5, Verdict.PASS),
        (0, 0, 100, 0.5, Verdict.INCONCLUSIVE),
        (5, 0, 300, 0.5, Verdict.INCONCLUSIVE),
        (60, 0, 300, 0.5, Verdict.FAIL),
        (0, 30, 300, 0.0, Verdict.PASS),
    ],
)
def test_the_verdict_follows_the_whole_interval(
    lost: int, won: int, samples: int, allowed: float, verdict: Verdict
):
    assert judged(lost, won, samples, allowed).verdict is verdict


def test_the_loss_is_told_in_percentage_points():
    got = judged(30, 10, 1000, 5.0)
    assert got.drop == pytest.approx(2.0)
    assert got.low < 2.0 < got.high


@pytest.mark.parametrize(("lost", "won", "samples", "allowed"), [(0, 0, 100, 0.5), (8, 6, 300, 1)])
def test_the_missing_samples_decide_if_the_shares_stay(
    lost: int, won: int, samples: int, allowed: float
):
    got = judged(lost, won, samples, allowed)
    assert got.missing_samples is not None
    scale = (samples + got.missing_samples) / samples
    _, high = tango_interval(lost * scale, won * scale, samples * scale)
    assert 100 * high == pytest.approx(allowed, rel=0.01)


def test_a_loss_that_is_just_what_is_allowed_is_never_decided():
    assert judged(10, 0, 1000, 1.0).missing_samples is None


def test_as_many_samples_as_the_rule_of_thumb_says():
    """4 % flipped answers and no net loss: about 1,537 samples for one point."""
    got = judged(8, 8, 400, 1.0)
    assert got.missing_samples is not None
    assert 400 + got.missing_samples == pytest.approx(1537, rel=0.1)


def test_a_measure_over_all_samples_is_judged_by_the_bootstrap():
    assert judged(0, 0, 300, 0.5, metric="f1").verdict is Verdict.PASS
    assert judged(150, 0, 300, 0.5, metric="f1").verdict is Verdict.FAIL


def test_an_error_is_judged_in_its_own_unit():
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(200, 1))
    held_out = Samples(
        where="s", images=targets, labels=None, sha256="0", arrays={"targets": targets}
    )
    metric = find_metric("mae", held_out)
    before, after = targets + 0.1, targets + 0.3
    got = judge_drop(metric, (before,), (after,), targets, allowed=0.1)
    assert got.drop == pytest.approx(0.2)
    assert got.verdict is Verdict.FAIL
