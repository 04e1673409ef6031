"""The proof: compares answers with the reference's and picks golden samples.

Everything but `answers_of` is arithmetic on arrays of answers, [N, ...] for each output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from converters.metrics import Answers, Metric, top1
from converters.quantize.recipes import Limits
from converters.samples import Samples
from edgekit.detection import class_shares, detect, unit_vector
from edgekit.errors import DataError, ParityError, ProofError
from edgekit.golden import stacked
from edgekit.manifest import GoldenSpec, Postprocessing, Preprocessing, Task
from edgekit.postprocessing import classify
from edgekit.runtime.base import Tensor

Run: TypeAlias = Callable[[list[Tensor]], list[Tensor]]
Feedback: TypeAlias = Mapping[int, int]
"""Index of an input that holds state -> index of the output that it is next time."""
SEQUENCE = "sequence"
MAX_SQNR_DB = 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How far a variant's answers are from the reference's, over all samples; the worst output.

    Attributes:
        max_abs_diff: Largest absolute difference of an element.
        relative_diff: That, over the largest magnitude of its output.
        sqnr_db: Signal to quantization noise ratio, dB, at most 200.
        agreement: Share of samples with the same top class in the first output, in [0, 1]; 1 where
            the first output is not one score a class.
    """

    max_abs_diff: float
    relative_diff: float
    sqnr_db: float
    agreement: float


def answers_of(
    run: Run,
    samples: Samples,
    preprocessing: Preprocessing | None,
    advance: Callable[[int, int], None],
    *,
    feedback: Feedback | None = None,
) -> Answers:
    """Compute the answers to every sample, one after the other.

    State goes from each answer into the next question, so that an error may grow as it would on a
    device. It starts anew where the samples' array "sequence" changes.
    """
    rows: list[list[Tensor]] = []
    starts = _starts(samples)
    for index in range(len(samples)):
        tensors = samples.tensors(index, preprocessing)
        if feedback and index not in starts:
            for taken, given in feedback.items():
                tensors[taken] = rows[-1][given]
        rows.append(run(tensors))
        advance(index + 1, len(samples))
    return tuple(stacked(column) for column in zip(*rows, strict=True))


def with_states(samples: Samples, answers: Answers, feedback: Feedback) -> Samples:
    """Return the samples with the states that led to these answers as ordinary inputs."""
    starts = _starts(samples)
    arrays = dict(samples.arrays)
    for taken, given in feedback.items():
        name = samples.further[taken - 1]
        first = np.asarray(arrays[name])
        states = answers[given].reshape(first.shape)
        arrays[name] = np.stack(
            [first[i] if i in starts else states[i - 1] for i in range(len(samples))]
        )
    return replace(samples, arrays=arrays)


def check_varying(answers: Answers, samples: Samples) -> None:
    """Refuse a reference whose answers cannot prove anything.

    Raises:
        ProofError: Values that are not finite, or answers that do not vary over the samples.
    """
    for index, answer in enumerate(answers):
        if not np.isfinite(answer).all():
            raise ProofError(f"output {index} of the source is not finite", where=samples.where)
        spread = float(np.max(np.ptp(answer.astype(np.float64), axis=0), initial=0.0))
        if spread <= 1e-6 + 1e-4 * float(np.max(np.abs(answer), initial=0.0)):
            raise ProofError(
                f"output {index} of the source does not vary over {len(samples)} samples "
                f"(spread {spread:.2g}), so agreeing with it would prove nothing",
                where=samples.where,
                todo="check the weights and the preprocessing",
            )


def check_classes(metric: Metric, scores: Tensor, samples: Samples, labels: Sequence[str]) -> None:
    """Refuse classes that do not match what is true or what they are called.

    Raises:
        DataError: The first output is not one score a class, or there are other labels.
    """
    if not metric.classes:
        return
    if scores.ndim != 2:
        raise DataError(
            f"{metric.name} needs one score a class, the first output is {list(scores.shape[1:])}",
            where=samples.where,
            todo="choose another --metric",
        )
    classes = scores.shape[1]
    if labels and len(labels) != classes:
        raise DataError(
            f"{len(labels)} labels for {classes} classes", todo="give one label a class"
        )
    highest = -1 if samples.labels is None else int(samples.labels.max())
    if highest >= classes:
        raise DataError(
            f"label {highest} is beyond the model's {classes} classes",
            where=samples.where,
            todo=f"labels are class indices, 0 to {classes - 1}",
        )


def check_task(
    spec: Postprocessing | None, answers: Answers, labels: Sequence[str], where: str
) -> None:
    """Refuse a postprocessing that the outputs do not suit: devices would fail on every sample.

    Raises:
        DataError: The outputs are not those of the task.
    """
    if spec is None:
        return
    first = [answer[:1] for answer in answers]
    try:
        suits = _suits(spec, first, labels)
    except DataError as error:
        raise DataError(f"{error.what}, as --postprocessing says", where=where) from error
    if not suits:
        raise DataError(
            f"an output of shape {list(first[0].shape)} has no classes, as --postprocessing says",
            where=where,
        )


def _suits(spec: Postprocessing, first: Sequence[Tensor], labels: Sequence[str]) -> bool:
    match spec.task:
        case Task.CLASSIFICATION:
            return classify(first[0], labels) is not None
        case Task.DETECTION:
            detect(first, labels, spec)
        case Task.SEGMENTATION:
            class_shares(first[0], labels)
        case Task.EMBEDDING:
            unit_vector(first[0])
    return True


def compare(reference: Answers, answers: Answers, *, where: str, classes: bool = True) -> Parity:
    """Return the worst difference over all outputs.

    Args:
        reference: The source's answers.
        answers: The variant's.
        where: The variant, for messages.
        classes: Whether the first output is one score a class.

    Raises:
        ParityError: Other shapes than the reference's, or values that are not finite.
    """
    for index, (wanted, got) in enumerate(zip(reference, answers, strict=True)):
        if wanted.shape != got.shape:
            raise ParityError(
                f"output {index} has shape {list(got.shape[1:])}, "
                f"the source's has {list(wanted.shape[1:])}",
                where=where,
            )
        if not np.isfinite(got).all():
            raise ParityError(f"output {index} is not finite", where=where)
    pairs = list(zip(reference, answers, strict=True))
    diffs = [float(np.max(np.abs(_wide(a) - _wide(b)))) for a, b in pairs]
    sizes = [max(float(np.max(np.abs(a))), 1e-12) for a in reference]
    return Parity(
        max_abs_diff=max(diffs),
        relative_diff=max(d / size for d, size in zip(diffs, sizes, strict=True)),
        sqnr_db=min(sqnr_db(a, b) for a, b in pairs),
        agreement=float(np.mean(top1(reference[0]) == top1(answers[0]))) if classes else 1.0,
    )


def sqnr_db(signal: Tensor, noisy: Tensor) -> float:
    """Return 10 log10(sum(signal^2) / sum((signal - noisy)^2)), dB, at most 200."""
    noise = float(np.sum((_wide(signal) - _wide(noisy)) ** 2))
    return decibels(float(np.sum(_wide(signal) ** 2)), noise)


def decibels(signal: float, noise: float) -> float:
    """Return 10 log10(signal / noise) of two energies, dB, at most 200."""
    if noise == 0.0:
        return MAX_SQNR_DB
    return min(MAX_SQNR_DB, 10 * float(np.log10(max(signal, 1e-300) / noise)))


def check_parity(parity: Parity, limits: Limits, *, where: str) -> None:
    """Refuse a variant that does not compute what the source computes.

    Raises:
        ParityError: A limit of its precision is not kept; the message says which, and by how much.
    """
    broken = []
    if not parity.relative_diff <= limits.relative_diff:
        broken.append(
            f"worst difference {parity.relative_diff:.3g} of the output's magnitude, "
            f"allowed {limits.relative_diff:.3g}"
        )
    if not parity.sqnr_db >= limits.sqnr_db:
        broken.append(f"SQNR {parity.sqnr_db:.1f} dB, at least {limits.sqnr_db:.0f}")
    if not parity.agreement >= limits.agreement:
        broken.append(f"agreement {parity.agreement:.1%}, at least {limits.agreement:.1%}")
    if broken:
        raise ParityError(
            f"does not compute what the source computes ({'; '.join(broken)})", where=where
        )


def choose_golden(scores: Tensor, count: int) -> list[int]:
    """Return the indices of samples that cover the model's behaviour, ascending.

    Half of them lie nearest to a decision border (smallest gap between the two best scores); the
    rest goes round the predicted classes, the most certain sample of each first.
    """
    flat = _wide(scores.reshape(len(scores), -1))
    ordered = np.sort(flat, axis=1)
    gaps = ordered[:, -1] - (ordered[:, -2] if flat.shape[1] > 1 else 0.0)
    nearest = [int(i) for i in np.argsort(gaps, kind="stable")]
    chosen = nearest[: count // 2]
    taken = set(chosen)
    chosen += [i for i in _round_robin(top1(scores), nearest[::-1]) if i not in taken]
    return sorted(chosen[:count])


def golden_spec(answers: Answers, limits: Limits, *, count: int) -> GoldenSpec:
    """Return how golden samples are compared: tolerances to three significant digits."""
    span = max(float(np.ptp(_wide(a))) for a in answers)
    return GoldenSpec(
        count=count,
        atol=float(f"{span * limits.golden_diff:.3g}"),
        providers={p: float(f"{span * d:.3g}") for p, d in limits.golden_diffs.items()},
    )


def _round_robin(classes: Tensor, order: Sequence[int]) -> list[int]:
    """Return `order` rearranged: the first of each class, then the second of each, ..."""
    seen: dict[int, int] = {}
    ranked = []
    for index in order:
        rank = seen[int(classes[index])] = seen.get(int(classes[index]), -1) + 1
        ranked.append((rank, index))
    return [index for _, index in sorted(ranked, key=lambda pair: pair[0])]


def _starts(samples: Samples) -> set[int]:
    """Return the indices at which state starts anew."""
    ids = samples.arrays.get(SEQUENCE)
    if ids is None:
        return {0}
    return {0, *(int(i) + 1 for i in np.flatnonzero(np.asarray(ids)[1:] != np.asarray(ids)[:-1]))}


def _wide(array: Tensor) -> Tensor:
    wide: Tensor = array.astype(np.float64)
    return wide
