"""A reference with its answers, and what a model file must show beside it.

Used alike for a file that was converted and for one that was given ready-made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from converters.evaluate import (
    Feedback,
    Parity,
    Run,
    answers_of,
    check_classes,
    check_parity,
    check_task,
    check_varying,
    choose_golden,
    compare,
    golden_spec,
    with_states,
)
from converters.finished import Finished
from converters.metrics import Answers, Metric, doubts, find_metric, truth_of
from converters.plan import ConversionPlan
from converters.quantize.recipes import Limits
from converters.samples import Samples
from edgekit import codec
from edgekit.bundle import file_digest
from edgekit.drift import (
    DriftReference,
    Features,
    features_of,
    parse_reference,
    reference_of,
)
from edgekit.errors import UsageError
from edgekit.golden import GoldenSamples, compute_golden
from edgekit.manifest import GoldenSpec, Quality, TensorSpec
from edgekit.runtime import Session, Tensor

Advance = Callable[[int, int], None]
_DRIFT = "drift"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What variants are proven against.

    Attributes:
        samples: Held-out samples; states are inputs like others.
        answers: The source's answers to them.
        metric: Measure of accuracy.
        truth: What answers are measured against; None for "parity".
        golden: Indices of the golden samples.
        feedback: Which inputs are states, and where they come from.
    """

    samples: Samples
    answers: Answers
    metric: Metric
    truth: Tensor | None
    golden: tuple[int, ...]
    feedback: Feedback

    @property
    def accuracy(self) -> float | None:
        """Of the source; None for "parity"."""
        return self.metric.value(self.answers, self.truth)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What makes the labels or the preprocessing doubtful, a line each."""
        return doubts(self.metric, self.answers, self.truth)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A model file that showed what it had to.

    Attributes:
        session: The model, loaded.
        model: Its file.
        answers: To the held-out samples.
        parity: Against the reference.
        accuracy: On the held-out samples; None for "parity".
        golden: Golden samples with this model's answers, recomputed once.
        spec: How they are compared.
        drift: What the samples and its answers looked like, for devices to compare with.
    """

    session: Session
    model: Path
    answers: Answers
    parity: Parity
    accuracy: float | None
    golden: GoldenSamples
    spec: GoldenSpec
    drift: DriftReference


def bind_inputs(
    samples: Samples, inputs: tuple[TensorSpec, ...], states: Mapping[str, str]
) -> Samples:
    """Return samples that know the model's inputs; states without an array begin as zeros.

    Raises:
        UsageError: A state is no input of the model after the first.
    """
    further = inputs[1:]
    unknown = sorted(set(states) - {spec.name for spec in further})
    if unknown:
        names = ", ".join(spec.name for spec in further) or "none"
        raise UsageError(
            f"{', '.join(unknown)} is no input after the first",
            where="--state",
            todo=f"those are: {names}",
        )
    zeros = {
        spec.name: np.broadcast_to(
            np.zeros([s if isinstance(s, int) else 1 for s in spec.shape], spec.dtype),
            (len(samples), *(s if isinstance(s, int) else 1 for s in spec.shape)),
        )
        for spec in further
        if spec.name in states
    }
    order = tuple(spec.name for spec in further)
    return replace(samples, arrays={**zeros, **samples.arrays}, further=order)


def feedback_of(
    inputs: tuple[TensorSpec, ...], outputs: tuple[str, ...], states: Mapping[str, str]
) -> Feedback:
    """Return which output each state comes from, by index.

    Raises:
        UsageError: No such output.
    """
    unknown = sorted(set(states.values()) - set(outputs))
    if unknown:
        raise UsageError(
            f"{', '.join(unknown)} is no output",
            where="--state",
            todo=f"those are: {', '.join(outputs)}",
        )
    names = [spec.name for spec in inputs]
    return {names.index(taken): outputs.index(given) for taken, given in states.items()}


def refer(
    run: Run,
    samples: Samples,
    plan: ConversionPlan,
    advance: Advance,
    *,
    feedback: Feedback,
    finished: Finished,
    digest: str,
) -> Reference:
    """Let the source answer every held-out sample.

    Args:
        run: The source.
        samples: Held-out samples.
        plan: What is asked for.
        advance: Told about progress.
        feedback: Which inputs are states, and where they come from.
        finished: Finds answers that an earlier run computed.
        digest: SHA-256 of what the source computes.

    Raises:
        ProofError: Its answers prove nothing.
        DataError: Labels do not match.
    """
    told = finished.arrays(
        "answers",
        plan.model,
        lambda: _named(answers_of(run, samples, plan.preprocessing, advance, feedback=feedback)),
        source=digest,
        **_asked(samples, plan, feedback),
    )
    answers = _unnamed(told)
    check_varying(answers, samples)
    metric = find_metric(
        plan.metric, samples, postprocessing=plan.postprocessing, labels=plan.labels
    )
    check_classes(metric, answers[0], samples, plan.labels)
    check_task(plan.postprocessing, answers, plan.labels, samples.where)
    if feedback:
        samples = with_states(samples, answers, feedback)
    return Reference(
        samples=samples,
        answers=answers,
        metric=metric,
        truth=truth_of(metric, samples, answers[0]),
        golden=_golden(answers, samples, plan.golden_count),
        feedback=feedback,
    )


def prove(
    session: Session,
    model: Path,
    reference: Reference,
    plan: ConversionPlan,
    *,
    limits: Limits,
    where: str,
    advance: Advance,
    finished: Finished,
) -> Checked:
    """Prove a model file on the held-out samples.

    Raises:
        ParityError: It does not compute what the source computes.
    """
    samples, metric = reference.samples, reference.metric
    told = finished.arrays(
        "proof",
        where,
        lambda: _watched(session, reference, plan, advance),
        model=file_digest(model),
        runtime=(session.runtime, session.provider, plan.threads),
        labels=plan.labels,
        **_asked(samples, plan, reference.feedback),
    )
    answers = _unnamed(told)
    parity = compare(reference.answers, answers, where=where, classes=metric.classes)
    check_parity(parity, limits, where=where)
    raw = [samples.images[i] for i in reference.golden]
    further = samples.further_rows(list(reference.golden))
    return Checked(
        session=session,
        model=model,
        answers=answers,
        parity=parity,
        accuracy=metric.value(answers, reference.truth),
        golden=compute_golden(session, raw, plan.preprocessing, further=further),
        spec=golden_spec(reference.answers, limits, count=len(raw)),
        drift=parse_reference(told[_DRIFT].tobytes(), where=where),
    )


def _watched(
    session: Session, reference: Reference, plan: ConversionPlan, advance: Advance
) -> dict[str, Tensor]:
    """Return a session's answers by name, and what they and the samples looked like."""
    features: list[Features] = []

    def run(tensors: list[Tensor]) -> list[Tensor]:
        outputs = session.run(tensors)
        features.append(features_of(tensors, outputs, plan.preprocessing, plan.labels))
        return outputs

    answers = answers_of(
        run, reference.samples, plan.preprocessing, advance, feedback=reference.feedback
    )
    drift = np.frombuffer(codec.encode(reference_of(features)), np.uint8)
    return {**_named(answers), _DRIFT: drift}


def _asked(samples: Samples, plan: ConversionPlan, feedback: Feedback) -> dict[str, object]:
    """Return what answers depend on besides the model."""
    return {
        "samples": (samples.sha256, samples.further),
        "preprocessing": plan.preprocessing,
        "feedback": sorted(feedback.items()),
    }


def _named(answers: Answers) -> dict[str, Tensor]:
    return {f"output.{index}": answer for index, answer in enumerate(answers)}


def _unnamed(arrays: Mapping[str, Tensor]) -> Answers:
    count = sum(name.startswith("output.") for name in arrays)
    return tuple(arrays[f"output.{index}"] for index in range(count))


def quality_of(reference: Reference, checked: Checked) -> Quality:
    """Return what the manifest says about the proof."""
    return Quality(
        metric=reference.metric.name,
        samples=len(reference.samples),
        accuracy=checked.accuracy,
        reference_accuracy=reference.accuracy,
        max_abs_diff=checked.parity.max_abs_diff,
        sqnr_db=checked.parity.sqnr_db,
        agreement=checked.parity.agreement,
    )


def _golden(answers: Answers, samples: Samples, count: int) -> tuple[int, ...]:
    """Choose golden samples among those of the commonest shape: they are stored as one array."""
    shapes = [samples.images[i].shape for i in range(len(samples))]
    common = max(sorted(set(shapes)), key=shapes.count)
    same = [i for i, shape in enumerate(shapes) if shape == common]
    return tuple(same[i] for i in choose_golden(answers[0][same], count))
