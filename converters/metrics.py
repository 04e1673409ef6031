"""What accuracy means for a model: measures on answers and what is true, [N, ...] both.

Every measure is better when it is higher, so that a drop is a loss whatever it counts.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from converters.precision_recall import precision_scorer
from converters.samples import Samples
from edgekit.errors import DataError, UsageError
from edgekit.manifest import Postprocessing, Task
from edgekit.runtime.base import Tensor

Answers: TypeAlias = tuple[Tensor, ...]
Measure: TypeAlias = Callable[[Answers, Tensor], Tensor]
Scorer: TypeAlias = Callable[[Answers, Tensor], Callable[[Tensor], float]]
AGREEMENT, PARITY, MAP = "agreement", "parity", "map"
_USER = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A measure of accuracy.

    Attributes:
        name: "top1", "top5", "f1", "map", "mae", "psnr", "agreement", "parity" or module:function.
        measure: Answers and truth in, one score a sample [N] out, or one number for all of them;
            None for "parity", which has no accuracy.
        classes: Whether the first output is one score a class.
        share: Whether it is a share in [0, 1], shown as a percentage.
        scorer: Where a measure of many samples is costly: answers and truth in, and out what gives
            the measure of chosen samples (indices).
    """

    name: str
    measure: Measure | None
    classes: bool = False
    share: bool = False
    scorer: Scorer | None = None

    def value(self, answers: Answers, truth: Tensor | None) -> float | None:
        """Return the accuracy; None for "parity"."""
        if self.measure is None or truth is None:
            return None
        return float(np.mean(self.measure(answers, truth)))


def find_metric(
    name: str,
    samples: Samples,
    *,
    postprocessing: Postprocessing | None = None,
    labels: Sequence[str] = (),
) -> Metric:
    """Return the measure of that name, where it can be measured on these samples.

    Args:
        name: As the engineer wrote it.
        samples: Held-out samples.
        postprocessing: How outputs become boxes, for "map".
        labels: Class names by index.

    Raises:
        UsageError: No such measure.
        DataError: It needs labels or targets that are not there.
    """
    known = _known(name, postprocessing, labels)
    if known.name not in {AGREEMENT, PARITY}:
        _recorded(known, samples)
    return known


def truth_of(metric: Metric, samples: Samples, first: Tensor) -> Tensor | None:
    """Return what answers are measured against; for "agreement" the source's own classes.

    Raises:
        DataError: There are no labels or targets.
    """
    if metric.measure is None:
        return None
    if metric.name == AGREEMENT:
        return top1(first)
    return _recorded(metric, samples)


def _recorded(metric: Metric, samples: Samples) -> Tensor:
    """Return the labels, or the targets of a measure that is not about classes."""
    if metric.classes or "targets" not in samples.arrays:
        return samples.labelled()
    return np.asarray(samples.arrays["targets"])


def doubts(metric: Metric, answers: Answers, truth: Tensor | None) -> tuple[str, ...]:
    """Return what makes the labels, or the preprocessing, of a source doubtful: a line, or none.

    Answers that would be right if all labels were one lower or higher; or an accuracy that guessing
    may reach as well, within two standard deviations.
    """
    if truth is None or not metric.classes or metric.name == AGREEMENT:
        return ()
    said, classes = top1(answers[0]), answers[0].shape[1]
    right = float(np.mean(said == truth))
    shifted = max(float(np.mean(said + by == truth)) for by in (-1, 1))
    if shifted > max(0.5, 2 * right):
        return (
            f"the source is right for {right:.0%} of the labels, and would be for {shifted:.0%} if "
            "each was off by one: do they count from 0?",
        )
    chance = 1 / classes
    if right <= chance + 2 * np.sqrt(chance * (1 - chance) / len(truth)):
        return (
            f"the source is right for {right:.0%} of the labels, as guessing among {classes} "
            "classes would be: check the labels, the weights and the preprocessing",
        )
    return ()


def top1(scores: Tensor) -> Tensor:
    """Return the class of the highest score for each sample, [N]; of equal ones the first."""
    winners: Tensor = np.argmax(scores.reshape(len(scores), -1), axis=1)
    return winners


def accuracy(scores: Tensor, labels: Tensor) -> float:
    """Return the share of samples whose top class is their label, in [0, 1]."""
    return float(np.mean(top1(scores) == labels))


def f1(answers: Answers, truth: Tensor) -> Tensor:
    """Return the mean over the classes in `truth` of 2 tp / (2 tp + fp + fn)."""
    said = top1(answers[0])
    scores = []
    for wanted in np.unique(truth):
        right = np.sum((said == wanted) & (truth == wanted))
        wrong = np.sum((said == wanted) != (truth == wanted))
        scores.append(2 * right / (2 * right + wrong))
    return np.asarray(np.mean(scores))


def mae(answers: Answers, truth: Tensor) -> Tensor:
    """Return minus the mean absolute error of each sample, in the unit of the targets."""
    return -_mean(np.abs(_like(answers[0], truth) - truth.astype(np.float64)))


def psnr(answers: Answers, truth: Tensor) -> Tensor:
    """Return 10 log10(peak^2 / mean squared error) of each sample, dB, at most 100.

    The peak is 255 for targets of 8-bit integers, else their largest magnitude, at least 1.
    """
    peak = 255.0 if truth.dtype == np.uint8 else max(1.0, float(np.max(np.abs(truth))))
    error = _mean((_like(answers[0], truth) - truth.astype(np.float64)) ** 2)
    return 10 * np.log10(peak**2 / np.maximum(error, peak**2 * 1e-10))


def _known(name: str, postprocessing: Postprocessing | None, labels: Sequence[str]) -> Metric:
    match = re.fullmatch(r"top(\d+)", name)
    if match and int(match[1]) > 0:
        return Metric(name=name, measure=_top(int(match[1])), classes=True, share=True)
    if name == MAP:
        return _precision(postprocessing, labels)
    if _USER.fullmatch(name):
        return Metric(name=name, measure=_user(name))
    known = {
        AGREEMENT: Metric(name=AGREEMENT, measure=_top(1), classes=True, share=True),
        PARITY: Metric(name=PARITY, measure=None),
        "f1": Metric(name="f1", measure=f1, classes=True, share=True),
        "mae": Metric(name="mae", measure=mae),
        "psnr": Metric(name="psnr", measure=psnr),
    }
    if name not in known:
        raise UsageError(
            f"{name!r} is no metric",
            where="--metric",
            todo=f"use top1, top5, {', '.join(sorted({*known, MAP}))} or module:function",
        )
    return known[name]


def _precision(spec: Postprocessing | None, labels: Sequence[str]) -> Metric:
    if spec is None or spec.task is not Task.DETECTION:
        raise UsageError(
            "needs to know how outputs become boxes",
            where=f"--metric {MAP}",
            todo='say --postprocessing \'{"task": "detection"}\'',
        )

    def scorer(answers: Answers, truth: Tensor) -> Callable[[Tensor], float]:
        return precision_scorer(answers, truth, spec, labels)

    def measure(answers: Answers, truth: Tensor) -> Tensor:
        return np.asarray(scorer(answers, truth)(np.arange(len(truth))))

    return Metric(name=MAP, measure=measure, share=True, scorer=scorer)


def _top(count: int) -> Measure:
    def hits(answers: Answers, truth: Tensor) -> Tensor:
        scores = answers[0].reshape(len(answers[0]), -1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        right: Tensor = (best == truth[:, np.newaxis]).any(axis=1)
        return right

    return hits


def _user(name: str) -> Measure:
    """Return the user's function: called with the outputs and the labels or targets."""
    module, _, attribute = name.partition(":")
    try:
        measure: Measure = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"cannot be imported ({error})", where=f"--metric {name}") from error
    return measure


def _like(answer: Tensor, truth: Tensor) -> Tensor:
    if answer.size != truth.size:
        raise DataError(
            f"targets have shape {list(truth.shape[1:])}, the output {list(answer.shape[1:])}"
        )
    return answer.reshape(truth.shape).astype(np.float64)


def _mean(errors: Tensor) -> Tensor:
    means: Tensor = errors.reshape(len(errors), -1).mean(axis=1)
    return means
