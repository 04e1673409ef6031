"""The steps of a conversion; each states what it requires and ensures, and raises if it cannot.

| step     | requires                              | ensures                             |
|----------|---------------------------------------|-------------------------------------|
| capture  | a source that loads, labelled samples | a reference whose answers vary      |
| lower    | a captured source                     | one float model file a target       |
| quantize | a float file, guarded calibration     | a file of the recipe's precision    |
| check    | a model file that a runtime opens     | parity, accuracy and golden samples |
| package  | a checked file                        | one bundle, whole                   |

The types carry it: a step takes what only the one before it makes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from converters.capture import Captured, capture
from converters.evaluate import (
    Answers,
    Parity,
    accuracy,
    answers_of,
    check_parity,
    check_reference,
    choose_golden,
    compare,
    golden_tolerance,
)
from converters.package import tool_versions, write_variant
from converters.plan import ConversionPlan, input_of
from converters.quantize import Calibration, calibrate_on
from converters.samples import Samples, check_held_out, read_samples
from converters.source import load_source
from converters.targets.registry import Variant
from edgekit.bundle import Bundle
from edgekit.device import Requirements
from edgekit.errors import DataError
from edgekit.golden import GoldenSamples, check_golden, compute_golden, read_golden
from edgekit.manifest import GoldenSpec, Lineage, Manifest, Quality
from edgekit.runtime import Session, open_session


class Step(StrEnum):
    """What is being done."""

    CAPTURE = "capture"
    LOWER = "lower"
    QUANTIZE = "quantize"
    CHECK = "check"
    PACKAGE = "package"
    MEASURE = "measure"


Watch: TypeAlias = Callable[[str, Step, float], None]
"""Told the variant (or the model), the step, and how much of it is done, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Ensured by capture.

    Attributes:
        captured: The source, traced.
        evaluation: Held-out samples with labels.
        calibration: Samples for ranges; None when no variant needs them.
        reference: The source's answers to the held-out samples.
        golden: Indices of the golden samples among them.
    """

    captured: Captured
    evaluation: Samples
    calibration: Calibration | None
    reference: Answers
    golden: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Ensured by check.

    Attributes:
        session: The variant, loaded.
        model: Its file.
        parity: Against the reference.
        accuracy: Top-1 on the held-out samples, in [0, 1].
        golden: Golden samples with this variant's answers, recomputed once.
        spec: How they are compared.
    """

    session: Session
    model: Path
    parity: Parity
    accuracy: float
    golden: GoldenSamples
    spec: GoldenSpec


def capture_source(plan: ConversionPlan, variants: tuple[Variant, ...], watch: Watch) -> Prepared:
    """Load the samples and the source, trace it and let it answer: the step `capture`."""
    watch(plan.model, Step.CAPTURE, 0.0)
    evaluation = read_samples(plan.evaluation)
    evaluation.labelled()
    calibration = _calibration(plan, variants, evaluation)
    source = load_source(plan.source, plan.weights)
    wanted = plan.input or (input_of(plan.preprocessing) if plan.preprocessing else None)
    captured = capture(source, wanted, evaluation.tensor(0, plan.preprocessing))
    reference = answers_of(
        captured.reference,
        evaluation,
        plan.preprocessing,
        lambda done, total: watch(plan.model, Step.CAPTURE, done / total),
    )
    check_reference(reference, evaluation, plan.labels)
    return Prepared(
        captured=captured,
        evaluation=evaluation,
        calibration=calibration,
        reference=reference,
        golden=tuple(choose_golden(reference[0], plan.golden_count)),
    )


def _calibration(
    plan: ConversionPlan, variants: tuple[Variant, ...], evaluation: Samples
) -> Calibration | None:
    needing = [v.name for v in variants if v.recipe.calibrated]
    if not needing:
        return None
    if plan.calibration is None:
        raise DataError(
            f"{', '.join(needing)} needs samples to take ranges from", todo="give --calibration"
        )
    samples = read_samples(plan.calibration)
    check_held_out(evaluation, samples)
    return calibrate_on(samples, plan.preprocessing, lambda _done, _total: None)


def lower(variant: Variant, prepared: Prepared, work: Path) -> Path:
    """Write the float file of the variant's target once; a second call finds it."""
    out = work / f"{variant.target.name}-float.{variant.target.format}"
    if not out.exists():
        variant.target.lower(prepared.captured, out)
    return out


def quantize(
    variant: Variant, prepared: Prepared, floating: Path, work: Path, watch: Watch
) -> Path:
    """Return a file of the recipe's precision; of a float recipe the file itself."""
    if prepared.calibration is None or not variant.recipe.calibrated:
        return floating
    out = work / f"{variant.name}.{variant.target.format}"
    calibration = replace(
        prepared.calibration,
        advance=lambda done, total: watch(variant.name, Step.QUANTIZE, done / total),
    )
    variant.target.quantize(floating, variant.recipe, calibration, out)
    return out


def check(
    variant: Variant, prepared: Prepared, plan: ConversionPlan, model: Path, watch: Watch
) -> Checked:
    """Prove a model file on the held-out samples.

    Raises:
        ProofError: It does not compute what the source computes, or not twice the same.
    """
    session = open_session(model, variant.target.format, threads=plan.threads)
    answers = answers_of(
        lambda x: session.run([x]),
        prepared.evaluation,
        plan.preprocessing,
        lambda done, total: watch(variant.name, Step.CHECK, done / total),
    )
    parity = compare(prepared.reference, answers, where=variant.name)
    check_parity(parity, variant.recipe.limits, where=variant.name)
    raw = [prepared.evaluation.images[i] for i in prepared.golden]
    return Checked(
        session=session,
        model=model,
        parity=parity,
        accuracy=accuracy(answers[0], prepared.evaluation.labelled()),
        golden=compute_golden(session, raw, plan.preprocessing),
        spec=GoldenSpec(
            count=len(raw), atol=golden_tolerance(prepared.reference, variant.recipe.limits)
        ),
    )


def package(
    variant: Variant, prepared: Prepared, plan: ConversionPlan, checked: Checked, folder: Path
) -> Bundle:
    """Write the bundle, and recompute its golden samples as a device would.

    Raises:
        ProofError: A golden sample does not reproduce even here.
        StorageError: No room or no permission.
    """
    manifest = _manifest(variant, prepared, plan, checked)
    bundle = write_variant(folder, manifest, checked.model, checked.golden)
    check_golden(checked.session, read_golden(bundle), bundle.manifest)
    return bundle


def _manifest(
    variant: Variant, prepared: Prepared, plan: ConversionPlan, checked: Checked
) -> Manifest:
    target, recipe = variant.target, variant.recipe
    return Manifest(
        model=plan.model,
        version=plan.version,
        variant=variant.name,
        format=target.format,
        precision=recipe.precision,
        file=f"model.{target.format}",
        inputs=checked.session.inputs,
        outputs=checked.session.outputs,
        preprocessing=plan.preprocessing,
        labels=plan.labels,
        requires=Requirements(
            runtimes=target.runtimes(checked.model), preference=recipe.preference
        ),
        golden=checked.spec,
        quality=_quality(prepared, checked),
        lineage=_lineage(variant, prepared),
    )


def _quality(prepared: Prepared, checked: Checked) -> Quality:
    labels = prepared.evaluation.labelled()
    return Quality(
        metric="top1",
        samples=len(prepared.evaluation),
        accuracy=checked.accuracy,
        reference_accuracy=accuracy(prepared.reference[0], labels),
        max_abs_diff=checked.parity.max_abs_diff,
        sqnr_db=checked.parity.sqnr_db,
        agreement=checked.parity.agreement,
    )


def _lineage(variant: Variant, prepared: Prepared) -> Lineage:
    source = prepared.captured.source
    digests = {**source.digests, "evaluation": prepared.evaluation.sha256}
    if variant.recipe.calibrated and prepared.calibration is not None:
        digests["calibration"] = prepared.calibration.samples.sha256
    return Lineage(
        source=source.name,
        digests=digests,
        recipe=variant.recipe.name,
        tools=tool_versions(("edgekit", "numpy", *source.packages, *variant.target.packages)),
    )
