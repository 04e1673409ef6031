"""Mean average precision on boxes whose answer is known by hand."""

from pathlib import Path

import numpy as np
import pytest

from converters.budget import judge_drop
from converters.metrics import find_metric, truth_of
from converters.precision_recall import precision_scorer
from converters.samples import Samples
from edgekit.errors import DataError, UsageError
from edgekit.manifest import Postprocessing, Task
from edgekit.verdict import Verdict

SPEC = Postprocessing(task=Task.DETECTION, score_threshold=0.05)
LABELS = ("cat", "dog")
N = 40


def truth() -> np.ndarray:
    """Return one object an image, cats and dogs in turn, and room for a second."""
    boxes = np.full((N, 2, 5), -1.0)
    boxes[:, 0] = [[i % 2, 10, 10, 50, 50] for i in range(N)]
    return boxes


def found(wrong: int = 0, shift: float = 0.0) -> tuple[np.ndarray]:
    """Return a detector's output [N, 3, 6]: the object, but for the first `wrong` images."""
    table = np.zeros((N, 3, 6), np.float32)
    for i in range(N):
        scores = (0.9, 0.0) if i % 2 == 0 else (0.0, 0.9)
        moved = 200.0 if i < wrong else shift
        table[i, 0] = [10 + moved, 10, 50 + moved, 50, *scores]
    return (table,)


def score(answers: tuple[np.ndarray], chosen: np.ndarray | None = None) -> float:
    return precision_scorer(answers, truth(), SPEC, LABELS)(
        np.arange(N) if chosen is None else chosen
    )


def test_every_object_found_is_one_and_none_is_zero():
    assert score(found()) == 1.0
    assert score(found(wrong=N)) == 0.0


def test_a_box_counts_at_the_overlaps_that_it_reaches():
    # 40 wide, moved by 4: overlap 36 / 44 = 0.818, so 7 of the 10 thresholds from 0.5 to 0.95.
    assert score(found(shift=4.0)) == pytest.approx(0.7)


def test_chosen_samples_count_as_often_as_they_are_chosen():
    answers = found(wrong=2)
    assert score(answers, np.array([0, 1, 1])) == 0.0
    assert score(answers, np.array([5, 6, 6, 7])) == 1.0
    assert 0.0 < score(answers, np.array([0, 0, 2, 4])) < 1.0


def test_targets_of_another_shape_are_refused():
    with pytest.raises(DataError, match=r"boxes are \[N, K, 5\]"):
        precision_scorer(found(), np.zeros((N, 5)), SPEC, LABELS)


def samples() -> Samples:
    images = np.zeros((N, 2))
    return Samples(
        where="s.npz", images=images, labels=None, sha256="", arrays={"targets": truth()}
    )


def test_the_measure_needs_to_know_how_outputs_become_boxes():
    with pytest.raises(UsageError, match="how outputs become boxes"):
        find_metric("map", samples())


def test_a_loss_of_precision_is_judged_by_the_bootstrap():
    metric = find_metric("map", samples(), postprocessing=SPEC, labels=LABELS)
    known = truth_of(metric, samples(), found()[0])
    assert known is not None
    assert metric.value(found(), known) == 1.0
    same = judge_drop(metric, found(), found(), known, allowed=0.5)
    assert (same.verdict, same.drop) == (Verdict.PASS, 0.0)
    worse = judge_drop(metric, found(), found(wrong=20), known, allowed=0.5)
    assert worse.verdict is Verdict.FAIL
    assert worse.low > 10
    unsure = judge_drop(metric, found(), found(wrong=1), known, allowed=2.0)
    assert unsure.verdict is Verdict.INCONCLUSIVE
    assert unsure.missing_samples is None or unsure.missing_samples > 0


def test_the_whole_evaluation_gives_the_same(tmp_path: Path):
    """The parts taken from the library add up to its own summary."""
    from pycocotools.cocoeval import COCOeval

    from converters.precision_recall import _found, _matched

    rng = np.random.default_rng(0)
    noisy = found(wrong=5)[0] + rng.normal(0, 1.5, (N, 3, 6)).astype(np.float32)
    noisy[..., 4:] = np.clip(noisy[..., 4:], 0, 1)
    wanted = [[(int(r[0]), r[1:]) for r in rows if r[0] >= 0] for rows in truth()]
    guesses = [_found((noisy,), i, LABELS, SPEC) for i in range(N)]
    matched = _matched(wanted, guesses)
    whole = COCOeval(matched.cocoGt, matched.cocoDt, "bbox")
    whole.evaluate()
    whole.accumulate()
    whole.summarize()
    assert score((noisy,)) == pytest.approx(whole.stats[0])
