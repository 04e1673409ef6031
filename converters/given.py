"""Proves and bundles a model file that somebody else made, without converting it.

An .onnx, a .tflite, or an OpenVINO .xml with its .bin beside it.

Without a reference the file is its own: its answers must vary, be finite and repeat, and accuracy
is measured where there are labels. With a reference it must compute what that computes.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from converters.cache import Cache
from converters.capture import capture, check_operators, known_inputs
from converters.crosscpu import Elsewhere, of_file
from converters.evaluate import Run
from converters.extras import need, tool_versions
from converters.finished import Finished, source_digest
from converters.measure import latencies, peak_memory_mb
from converters.package import deliver, work_folder, write_variant
from converters.page import PAGE, html_page
from converters.pictures import flips_of
from converters.plan import ConversionPlan
from converters.precision import precision_of
from converters.proof import Checked, Reference, bind_inputs, feedback_of, prove, quality_of, refer
from converters.quantize.recipes import FP32, INT8, Limits, Recipe
from converters.reading import read_samples
from converters.report import REPORT, ConversionReport, SourceReport, variant_report
from converters.samples import check_values
from converters.source import load_source, weights_beside
from converters.steps import Step, Watch
from converters.targets.onnx import onnx_runtimes
from converters.targets.openvino import RUNTIME as OPENVINO
from edgekit import codec
from edgekit.bundle import features_needed, file_digest
from edgekit.device import Requirements, RuntimeRange
from edgekit.errors import RuntimeFailedError, SourceError
from edgekit.manifest import Lineage, Manifest, ModelFormat, Precision
from edgekit.runtime import Session, open_session, openvino_file

RECIPE = "as-given"
AUTO = ("auto",)
"""The variant is named by format and precision, such as "tflite-int8"."""
_PACKAGES = {
    ModelFormat.ONNX: ("onnx", "onnxruntime"),
    ModelFormat.TFLITE: ("ai-edge-litert",),
    ModelFormat.OPENVINO: ("openvino",),
}
_FORMATS = {
    ".onnx": ModelFormat.ONNX,
    ".tflite": ModelFormat.TFLITE,
    ".xml": ModelFormat.OPENVINO,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenModel:
    """A ready-made file, opened.

    Attributes:
        name: As its maker called it.
        path: The one file that is bundled.
        format: Its file format.
        precision: Number format of its weights.
        session: The model, loaded.
    """

    name: str
    path: Path
    format: ModelFormat
    precision: Precision
    session: Session


def package_given(
    plan: ConversionPlan, reference: str = "", watch: Watch = lambda *_: None
) -> ConversionReport:
    """Prove and bundle the file that the plan names as its source, or leave nothing behind.

    Args:
        plan: What to do; one variant, whose name is free.
        reference: A source as `load_source` takes it, or empty.
        watch: Told about progress.

    Raises:
        EdgeKitError: Its class says who must act.
    """
    began = time.perf_counter()
    watch(plan.model, Step.CAPTURE, 0.0)
    with tempfile.TemporaryDirectory() as apart, work_folder(plan.out) as work:
        model = open_given(Path(plan.source), plan.threads, Path(apart))
        finished = Finished(
            Cache(plan.cache) if plan.cache else None, lambda name: watch(name, Step.REUSED, 1.0)
        )
        proven = _reference(plan, reference, model, finished, watch)
        variant = plan.variants[0] if plan.variants != AUTO else f"{model.format}-{model.precision}"
        checked = prove(
            model.session,
            model.path,
            proven,
            plan,
            limits=_limits(model.precision),
            where=variant,
            advance=lambda done, total: watch(variant, Step.CHECK, done / total),
            finished=finished,
        )
        watch(plan.model, Step.MEASURE, 0.0)
        report = _bundled(plan, variant, model, proven, checked, reference=reference, work=work)
        report = replace(report, seconds=time.perf_counter() - began)
        (work / REPORT).write_bytes(codec.encode(report) + b"\n")
        flips = {variant: flips_of(proven, checked.answers, plan.labels)}
        (work / PAGE).write_text(html_page(report, flips), encoding="utf-8")
        deliver(work, plan.out)
    return report


def _bundled(
    plan: ConversionPlan,
    variant: str,
    model: GivenModel,
    proven: Reference,
    checked: Checked,
    *,
    reference: str,
    work: Path,
) -> ConversionReport:
    """Write the bundle, and say what is known about it."""
    inputs = [proven.samples.tensors(i, plan.preprocessing) for i in proven.golden]
    atol = checked.spec.atol
    elsewhere = of_file(model.format, model.path, model.session, inputs, atol=atol, where=variant)
    manifest = _manifest(plan, variant, model, proven, checked, reference=reference)
    requires = replace(manifest.requires, instruction_sets=elsewhere.instruction_sets)
    bundle = write_variant(work, replace(manifest, requires=requires), checked)
    latency = latencies({variant: model.session}, inputs)[variant]
    peak_mb = peak_memory_mb(bundle.path, plan.threads)
    return ConversionReport(
        model=plan.model,
        version=plan.version,
        source=SourceReport(
            name=reference or model.name,
            accuracy=proven.accuracy,
            samples=len(proven.samples),
            metric=proven.metric.name,
        ),
        variants=(variant_report(bundle, checked, latency, 0.0, peak_mb=peak_mb, front=True),),
        seconds=0.0,
        notes=(*proven.doubts, *_notes(model, reference, elsewhere)),
    )


def open_given(path: Path, threads: int, apart: Path) -> GivenModel:
    """Open a ready-made file.

    Args:
        path: As the user named it.
        threads: Of its runtime.
        apart: Folder for a model of several files, made one.

    Raises:
        SourceError: Of no known kind, not readable, or its runtime refuses it.
        TargetError: It needs operators that no runtime here has.
    """
    model_format = _FORMATS.get(path.suffix.lower())
    if model_format is None:
        raise SourceError(
            "is no model file that can be packaged",
            where=str(path),
            todo=f"give {', '.join(_FORMATS)}",
        )
    if not path.is_file():
        raise SourceError("there is no such file", where=str(path))
    if model_format is ModelFormat.ONNX:
        check_operators(path)
    try:
        model = _one_file(path, model_format, apart)
        session = open_session(model, model_format, threads=threads)
    except RuntimeFailedError as error:
        raise SourceError(
            error.what, where=str(path), todo=error.todo or "no device could load it"
        ) from error
    return GivenModel(
        name=path.name,
        path=model,
        format=model_format,
        precision=precision_of(model, model_format),
        session=session,
    )


def _one_file(path: Path, model_format: ModelFormat, apart: Path) -> Path:
    """Return a model as one file: OpenVINO's two are packed, weights beside ONNX are taken in."""
    if model_format is ModelFormat.ONNX and weights_beside(path):
        onnx = need("onnx")
        whole = apart / path.name
        onnx.save_model(onnx.load(path), whole, save_as_external_data=False)
        return whole
    if model_format is not ModelFormat.OPENVINO:
        return path
    packed = apart / f"{path.stem}.{model_format}"
    packed.write_bytes(openvino_file.pack(*openvino_file.read(path)))
    return packed


def _reference(
    plan: ConversionPlan, source: str, model: GivenModel, finished: Finished, watch: Watch
) -> Reference:
    """Let the reference answer, or the file itself where there is none."""
    states = dict(plan.state)
    inputs = model.session.inputs
    outputs = tuple(output.name for output in model.session.outputs)
    samples = bind_inputs(read_samples(plan.evaluation, plan.preprocessing), inputs, states)
    check_values(samples, plan.preprocessing)
    run: Run = model.session.run
    digest = file_digest(model.path)
    if source:
        loaded = load_source(source, plan.weights)
        first = samples.tensors(0, plan.preprocessing)
        wanted = known_inputs(loaded, plan.inputs or inputs)
        captured = capture(loaded, wanted, first, dynamic={})
        run, digest = captured.reference, source_digest(captured)
    return refer(
        run,
        samples,
        plan,
        lambda done, total: watch(plan.model, Step.CAPTURE, done / total),
        feedback=feedback_of(inputs, outputs, states),
        finished=finished,
        digest=digest,
    )


def _notes(model: GivenModel, reference: str, elsewhere: Elsewhere) -> tuple[str, ...]:
    alone = "" if reference else f"{model.name} was compared with no other model"
    return tuple(note for note in (alone, elsewhere.note) if note)


def _manifest(
    plan: ConversionPlan,
    variant: str,
    model: GivenModel,
    proven: Reference,
    checked: Checked,
    *,
    reference: str,
) -> Manifest:
    digests = {"source": file_digest(model.path), "evaluation": proven.samples.sha256}
    return Manifest(
        model=plan.model,
        version=plan.version,
        variant=variant,
        format=model.format,
        precision=model.precision,
        file=f"model.{model.format}",
        inputs=model.session.inputs,
        outputs=model.session.outputs,
        preprocessing=plan.preprocessing,
        postprocessing=plan.postprocessing,
        labels=plan.labels,
        parameters_schema=plan.parameters_schema,
        requires=Requirements(
            runtimes=_runtimes(model), preference=_recipe_of(model.precision).preference
        ),
        golden=checked.spec,
        quality=quality_of(proven, checked),
        lineage=Lineage(
            source=reference or model.name,
            digests=digests,
            recipe=RECIPE,
            tools=tool_versions(("edgekit", "numpy", *_PACKAGES[model.format])),
        ),
        features=features_needed(plan.preprocessing, several=bool(checked.golden.further)),
    )


def _runtimes(model: GivenModel) -> tuple[RuntimeRange, ...]:
    """Return what the file was proven on: here, and for ONNX by its operator set."""
    if model.format is ModelFormat.ONNX:
        return onnx_runtimes(model.path)
    if model.format is ModelFormat.OPENVINO:
        return (OPENVINO,)
    return (RuntimeRange(name="litert", minimum="2.3"),)


def _limits(precision: Precision) -> Limits:
    return _recipe_of(precision).limits


def _recipe_of(precision: Precision) -> Recipe:
    return FP32 if precision is Precision.FP32 else INT8
