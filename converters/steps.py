"""The steps of a conversion; each states what it requires and ensures, and raises if it cannot.

| step     | requires                              | ensures                             |
|----------|---------------------------------------|-------------------------------------|
| collect  | data for calibration                  | a guarded object, once for all runs |
| capture  | a source that loads, held-out samples | a reference whose answers vary      |
| lower    | a captured source                     | one float model file a target       |
| quantize | a float file, guarded calibration     | a file of the recipe's precision    |
| check    | a model file that a runtime opens     | parity, accuracy and golden samples |
| package  | a checked file                        | one bundle, whole                   |

The types carry it: a step takes what only the one before it makes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from converters.cache import Cache
from converters.capture import Captured, capture, known_inputs
from converters.collection import Collected, Facts, collect, samples_of
from converters.crosscpu import of_rung
from converters.dynamic import check_sizes
from converters.evaluate import answers_of, with_states
from converters.extras import tool_versions
from converters.finished import Finished, code_digest, source_digest
from converters.metrics import find_metric
from converters.package import write_variant
from converters.plan import ConversionPlan, input_of
from converters.proof import Checked, Reference, bind_inputs, feedback_of, prove, quality_of, refer
from converters.quantize import Arithmetic, Calibration, Kind, Rung
from converters.reading import read_samples
from converters.samples import check_held_out, check_values
from converters.source import load_source
from converters.targets.registry import Variant
from edgekit.bundle import Bundle, features_needed, file_digest
from edgekit.device import Requirements
from edgekit.errors import DataError
from edgekit.manifest import Lineage, Manifest
from edgekit.runtime import open_session

_USUAL = Arithmetic.PORTABLE


class Step(StrEnum):
    """What is being done."""

    COLLECT = "collect"
    REUSED = "reused"
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
        calibration: Samples for ranges; None when no variant needs them.
        reference: The source's answers to the held-out samples.
        digest: SHA-256 of what the source computes.
        finished: What earlier runs finished.
        facts: What is known about the samples for ranges; None when no variant needs them.
    """

    captured: Captured
    calibration: Calibration | None
    reference: Reference
    digest: str
    finished: Finished
    facts: Facts | None


def capture_source(
    plan: ConversionPlan, variants: tuple[Variant, ...], cache: Cache, watch: Watch
) -> Prepared:
    """Load the samples and the source, trace it and let it answer: the step `capture`."""
    evaluation = read_samples(plan.evaluation, plan.preprocessing)
    find_metric(plan.metric, evaluation, postprocessing=plan.postprocessing, labels=plan.labels)
    check_values(evaluation, plan.preprocessing)
    collected = _collected(plan, variants, cache, watch)
    calibration = None
    if collected is not None and plan.calibration is not None:
        calibration = samples_of(collected, plan.calibration)
        check_values(calibration, plan.preprocessing)
        check_held_out(evaluation, calibration)
    watch(plan.model, Step.CAPTURE, 0.0)
    source = load_source(plan.source, plan.weights)
    derived = (input_of(plan.preprocessing),) if plan.preprocessing else ()
    wanted = plan.inputs or derived
    states = dict(plan.state)
    inputs = known_inputs(source, wanted, named=plan.inputs)
    evaluation = bind_inputs(evaluation, inputs, states)
    first = evaluation.tensors(0, plan.preprocessing)
    captured = capture(source, wanted or inputs, first, dynamic=plan.dynamic)
    feedback = feedback_of(captured.inputs, captured.outputs, states)
    finished = Finished(cache if plan.cache else None, lambda name: watch(name, Step.REUSED, 1.0))
    digest = source_digest(captured)
    reference = refer(
        captured.reference,
        evaluation,
        plan,
        lambda done, total: watch(plan.model, Step.CAPTURE, done / total),
        feedback=feedback,
        finished=finished,
        digest=digest,
    )
    guarded = None
    if calibration is not None:
        calibration = bind_inputs(calibration, inputs, states)
        if feedback:
            told = answers_of(
                captured.reference, calibration, plan.preprocessing, _quietly, feedback=feedback
            )
            calibration = with_states(calibration, told, feedback)
        guarded = Calibration(
            samples=calibration, preprocessing=plan.preprocessing, advance=_quietly
        )
    return Prepared(
        captured=captured,
        calibration=guarded,
        reference=reference,
        digest=digest,
        finished=finished,
        facts=collected.facts if collected else None,
    )


def _quietly(_done: int, _total: int) -> None:
    """Tell nobody."""


def _collected(
    plan: ConversionPlan, variants: tuple[Variant, ...], cache: Cache, watch: Watch
) -> Collected | None:
    needing = [v.name for v in variants if v.recipe.calibrated]
    if not needing:
        return None
    if plan.calibration is None:
        raise DataError(
            f"{', '.join(needing)} needs samples to take ranges from", todo="give --calibration"
        )
    collected = collect(
        plan.calibration,
        plan.preprocessing,
        cache,
        advance=lambda done, total: watch(plan.model, Step.COLLECT, done / max(total, done)),
    )
    if collected.reused:
        watch(plan.model, Step.REUSED, 1.0)
    return collected


def lower(variant: Variant, prepared: Prepared, work: Path) -> Path:
    """Write the float file of the variant's target once; a second call finds it."""
    out = work / f"{variant.target.name}-float.{variant.target.format}"

    def make() -> Sequence[str]:
        variant.target.lower(prepared.captured, out)
        return ()

    if not out.exists():
        prepared.finished.file(
            "lower",
            variant.name,
            out,
            make,
            source=prepared.digest,
            target=(variant.target.name, code_digest(variant.target)),
        )
    return out


def quantize(
    variant: Variant,
    rung: Rung,
    prepared: Prepared,
    *,
    floating: Path,
    work: Path,
    number: int,
    watch: Watch,
) -> tuple[Path, tuple[str, ...]]:
    """Return a file that a rung makes, and what to know; of a float rung the float file itself."""
    if rung.kind is Kind.FLOAT:
        return floating, ()
    out = work / f"{variant.name}.{number}.{variant.target.format}"
    calibration = prepared.calibration and replace(
        prepared.calibration,
        advance=lambda done, total: watch(variant.name, Step.QUANTIZE, done / total),
    )
    if not variant.recipe.calibrated:
        calibration = None
    warnings = prepared.finished.file(
        "quantize",
        variant.name,
        out,
        lambda: variant.target.quantize(floating, variant.recipe, rung, calibration, out),
        model=file_digest(floating),
        target=(variant.target.name, code_digest(variant.target)),
        recipe=variant.recipe.name,
        rung=rung,
        samples=calibration and (calibration.samples.sha256, prepared.digest),
        preprocessing=calibration and calibration.preprocessing,
    )
    return out, warnings


def check(
    variant: Variant, prepared: Prepared, plan: ConversionPlan, model: Path, watch: Watch
) -> Checked:
    """Prove a model file on the held-out samples, and at the ends of sizes that vary.

    Raises:
        ParityError: It does not compute what the source computes.
    """
    session = open_session(model, variant.target.format, threads=plan.threads)
    limits = variant.recipe.limits
    checked = prove(
        session,
        model,
        prepared.reference,
        plan,
        limits=limits,
        where=variant.name,
        advance=lambda done, total: watch(variant.name, Step.CHECK, done / total),
        finished=prepared.finished,
    )
    if prepared.captured.dynamic:
        check_sizes(
            prepared.captured,
            session,
            prepared.reference.samples,
            plan,
            limits=limits,
            where=variant.name,
        )
    return checked


def package(
    variant: Variant,
    rung: Rung,
    prepared: Prepared,
    plan: ConversionPlan,
    checked: Checked,
    *,
    folder: Path,
    preference: int | None = None,
) -> tuple[Bundle, str]:
    """Write the bundle, and recompute its golden samples as a device would.

    Args:
        variant: Of what.
        rung: How the file was made.
        prepared: What capture ensured.
        plan: What to do.
        checked: The file, proven.
        folder: Where to.
        preference: Among the variants of a device; None leaves it to the recipe.

    Returns:
        The bundle, and what to know about other processors.

    Raises:
        ProofError: A golden sample does not reproduce even here.
        StorageError: No room or no permission.
    """
    manifest = _manifest(variant, rung, prepared, plan, checked)
    inputs = [
        checked.golden.tensors(index, plan.preprocessing) for index in range(checked.spec.count)
    ]
    elsewhere = of_rung(
        variant.target,
        rung,
        checked.model,
        checked.session,
        inputs,
        atol=checked.spec.atol,
        where=variant.name,
    )
    requires = replace(manifest.requires, instruction_sets=elsewhere.instruction_sets)
    if preference is not None:
        requires = replace(requires, preference=preference)
    return write_variant(folder, replace(manifest, requires=requires), checked), elsewhere.note


def _manifest(
    variant: Variant, rung: Rung, prepared: Prepared, plan: ConversionPlan, checked: Checked
) -> Manifest:
    target, recipe = variant.target, variant.recipe
    return Manifest(
        model=plan.model,
        version=plan.version,
        variant=variant.name,
        format=target.format,
        precision=rung.precision,
        file=f"model.{target.format}",
        inputs=checked.session.inputs,
        outputs=checked.session.outputs,
        preprocessing=plan.preprocessing,
        postprocessing=plan.postprocessing,
        labels=plan.labels,
        parameters_schema=plan.parameters_schema,
        requires=Requirements(
            runtimes=target.runtimes(checked.model, rung), preference=recipe.preference
        ),
        golden=checked.spec,
        quality=quality_of(prepared.reference, checked),
        lineage=_lineage(variant, rung, prepared),
        features=features_needed(plan.preprocessing, several=bool(checked.golden.further)),
    )


def _arithmetic(rung: Rung) -> str:
    integers = rung.kind in {Kind.STATIC, Kind.DYNAMIC}
    return f", {rung.arithmetic}" if integers and rung.arithmetic is not _USUAL else ""


def _lineage(variant: Variant, rung: Rung, prepared: Prepared) -> Lineage:
    source = prepared.captured.source
    digests = {**source.digests, "evaluation": prepared.reference.samples.sha256}
    if variant.recipe.calibrated and prepared.calibration is not None:
        digests["calibration"] = prepared.calibration.samples.sha256
    return Lineage(
        source=source.name,
        digests=digests,
        recipe=f"{variant.recipe.name}: {rung.name}{_arithmetic(rung)}",
        tools=tool_versions(("edgekit", "numpy", *source.packages, *variant.target.packages)),
    )
