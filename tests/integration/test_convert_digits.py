"""One real model all the way: digits by scikit-learn, three variants, proven and reproducible."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from converters.evaluate import sqnr_db
from converters.plan import ConversionPlan
from converters.report import ConversionReport
from edgekit import codec
from edgekit.bundle import open_bundle
from edgekit.drift import count, drifts, features_of, read_reference
from edgekit.golden import check_golden, read_golden
from edgekit.manifest import Postprocessing, Precision, Preprocessing, Task
from edgekit.preprocessing import prepare
from edgekit.runtime import open_session
from tests.integration.convert_models import trained_digits

pytestmark = pytest.mark.integration
CHECKOUT = Path(__file__).resolve().parents[2]
PARAMETERS = '{"type": "object", "properties": {"threshold": {"type": "number", "maximum": 1}}}'
VARIANTS = ("onnx-fp32", "onnx-int8", "tflite-fp32", "tflite-int8")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> ConversionPlan:
    """Train a small CNN for a second and keep a held-out part."""
    folder = tmp_path_factory.mktemp("digits")
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.images))
    images = digits.images[order].astype(np.uint8)
    labels = digits.target[order]
    np.savez(folder / "held-out.npz", images=images[:300], labels=labels[:300])
    np.savez(folder / "calibration.npz", images=images[300:500])
    torch.save(trained_digits(images[300:], labels[300:]), folder / "weights.pt")
    return ConversionPlan(
        source="tests.integration.convert_models:tiny",
        weights=folder / "weights.pt",
        model="digits",
        version="1.0.0",
        variants=VARIANTS,
        preprocessing=Preprocessing(height=8, width=8, scale=1 / 16),
        labels=tuple("0123456789"),
        calibration=folder / "calibration.npz",
        evaluation=folder / "held-out.npz",
        out=folder / "out",
    )


@pytest.fixture(scope="module")
def report(plan: ConversionPlan) -> ConversionReport:
    """Convert in a process of its own: what converts to TFLite starts threads, forks suffer."""
    done = _edgekit(plan, plan.out, "--json")
    assert done.returncode == 0, done.stderr
    return codec.decode(done.stdout, ConversionReport, where="report")


def test_every_variant_keeps_the_accuracy_of_the_source(report: ConversionReport):
    assert [v.variant for v in report.variants] == list(VARIANTS)
    source = report.source.accuracy
    assert source is not None
    assert source > 0.93
    for variant in report.variants:
        assert variant.accuracy is not None
        assert variant.accuracy >= source - 0.01
        assert variant.agreement >= 0.98


def test_float_variants_compute_what_torch_computes(report: ConversionReport):
    for variant in report.variants:
        if variant.variant.endswith("fp32"):
            assert variant.max_abs_diff < 1e-4
            assert variant.sqnr_db > 100


def test_int8_ranges_come_from_all_samples(report: ConversionReport):
    """Averaged ranges, or those of a part of the samples, cost 8 to 22 dB."""
    for variant in report.variants:
        if variant.variant.endswith("int8"):
            assert variant.sqnr_db > 30


@pytest.mark.parametrize(
    ("variant", "kinds"),
    [
        ("onnx-int8", ["Conv", "Gemm"]),
        ("tflite-int8", ["DEPTHWISE_CONV_2D", "FULLY_CONNECTED"]),
    ],
)
def test_the_signal_after_each_layer_is_told_and_ends_with_that_of_the_answers(
    plan: ConversionPlan, report: ConversionReport, variant: str, kinds: list[str]
):
    """A layer with ReLU counts as it is stored: what is cut off at zero is no loss."""
    (told,) = (v for v in report.variants if v.variant == variant)
    assert [layer.operator for layer in told.layers] == kinds
    first, last = told.layers
    assert first.sqnr_db > 30
    assert first.low == 0
    float_name = variant.replace("int8", "fp32")
    exact, rounded = (
        read_golden(open_bundle(plan.out / f"digits-1.0.0-{name}.bundle")).outputs[0]
        for name in (float_name, variant)
    )
    assert last.sqnr_db == pytest.approx(sqnr_db(exact, rounded), abs=0.1)


def test_int8_is_smaller_than_fp32(report: ConversionReport):
    sizes = {v.variant: v.model_bytes for v in report.variants}
    assert sizes["onnx-int8"] < sizes["onnx-fp32"]
    assert sizes["tflite-int8"] < sizes["tflite-fp32"]


def test_the_folder_holds_the_bundles_and_the_report(
    plan: ConversionPlan, report: ConversionReport
):
    names = {path.name for path in plan.out.iterdir()}
    assert names == {"report.json", "report.html", *(v.bundle for v in report.variants)}
    told = json.loads((plan.out / "report.json").read_text())
    assert told["source"]["accuracy"] == report.source.accuracy
    assert [path.name for path in plan.out.parent.glob(".out*")] == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_samples_reproduce_from_the_bundle(
    plan: ConversionPlan, report: ConversionReport, tmp_path: Path, variant: str
):
    bundle = open_bundle(plan.out / f"digits-1.0.0-{variant}.bundle")
    bundle.extract(tmp_path)
    manifest = bundle.manifest
    session = open_session(tmp_path / manifest.file, manifest.format)
    assert check_golden(session, read_golden(bundle), manifest) <= manifest.golden.atol
    assert manifest.golden.count == 16


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_manifest_says_where_a_variant_comes_from_and_what_it_needs(
    plan: ConversionPlan, report: ConversionReport, variant: str
):
    manifest = open_bundle(plan.out / f"digits-1.0.0-{variant}.bundle").manifest
    int8 = manifest.precision is Precision.INT8
    wanted = {"source", "weights", "evaluation"} | ({"calibration"} if int8 else set())
    assert set(manifest.lineage.digests) == wanted
    assert "torch" in manifest.lineage.tools
    runtimes = {r.name for r in manifest.requires.runtimes}
    onnx = variant.startswith("onnx")
    assert runtimes == ({"onnxruntime"} if onnx else {"litert", "tflite-runtime"})
    assert manifest.inputs[0].shape == (1, 1, 8, 8)
    assert manifest.inputs[0].dtype == manifest.outputs[0].dtype == "float32"
    assert manifest.quality.samples == 300


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_bundle_tells_devices_what_its_samples_looked_like(
    plan: ConversionPlan, report: ConversionReport, tmp_path: Path, variant: str
):
    bundle = open_bundle(plan.out / f"digits-1.0.0-{variant}.bundle")
    bundle.extract(tmp_path)
    manifest, reference = bundle.manifest, read_reference(bundle)
    assert reference is not None
    assert reference.samples == 300
    session = open_session(tmp_path / manifest.file, manifest.format)
    found = {}
    for name, change in (("same", 1.0), ("dark", 0.2)):
        features = []
        for image in np.load(plan.evaluation)["images"][:100]:
            inputs = [prepare(image * change, manifest.preprocessing)]
            outputs = session.run(inputs)
            features.append(features_of(inputs, outputs, manifest.preprocessing, manifest.labels))
        told = drifts(reference, count(reference, features))
        found[name] = {drift.name for drift in told if drift.drifted}
    assert found["same"] == set()
    assert {"input.0.mean.0", "input.0.std.0"} <= found["dark"]


def test_what_was_declared_is_in_the_manifest(plan: ConversionPlan, report: ConversionReport):
    manifest = open_bundle(plan.out / "digits-1.0.0-onnx-int8.bundle").manifest
    assert manifest.postprocessing == Postprocessing(task=Task.CLASSIFICATION)
    assert manifest.parameters_schema == json.loads(PARAMETERS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_of_this_machine_is_in_a_bundle(
    plan: ConversionPlan, report: ConversionReport, variant: str
):
    content = (plan.out / f"digits-1.0.0-{variant}.bundle").read_bytes()
    for trace in (str(CHECKOUT), str(plan.out.parent), "convert_models.py", "stack_trace"):
        assert trace.encode() not in content


def test_another_process_makes_the_same_bytes(
    plan: ConversionPlan, report: ConversionReport, tmp_path: Path
):
    done = _edgekit(plan, tmp_path / "again", "--json", "--no-cache", seed="77")
    assert done.returncode == 0, done.stderr
    again = {v["variant"]: v["sha256"] for v in json.loads(done.stdout)["variants"]}
    assert again == {v.variant: v.sha256 for v in report.variants}


def test_the_command_prints_a_table_and_no_noise(plan: ConversionPlan, tmp_path: Path):
    some = replace(plan, variants=("onnx-int8", "tflite-int8"))
    done = _edgekit(some, tmp_path / "out", "--no-cache")
    assert done.returncode == 0, done.stderr
    for word in ("onnx-int8", "tflite-int8", "accuracy", "worst diff", "median"):
        assert word in done.stdout
    lines = done.stderr.splitlines()
    assert "tflite-int8: quantizing" in lines
    names = ("digits: ", "onnx-int8: ", "tflite-int8: ")
    assert [line for line in lines if not line.startswith(names)] == []


def test_inspect_prints_the_manifest(plan: ConversionPlan, report: ConversionReport):
    path = plan.out / "digits-1.0.0-onnx-int8.bundle"
    table = _run("inspect", str(path))
    assert "onnxruntime >= 1.14" in table.stdout
    told = json.loads(_run("inspect", str(path), "--json").stdout)
    assert told["sha256"] == report.variants[1].sha256
    assert told["manifest"]["variant"] == "onnx-int8"


def test_two_outputs_keep_their_order(plan: ConversionPlan, tmp_path: Path):
    two = replace(
        plan,
        source="tests.integration.convert_models:TwoHeads",
        weights=None,
        variants=("onnx-fp32", "tflite-fp32"),
    )
    done = _edgekit(two, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    for path in (tmp_path / "out").glob("*.bundle"):
        outputs = open_bundle(path).manifest.outputs
        assert [o.shape for o in outputs] == [(1, 10), (1, 3)]


def _edgekit(
    plan: ConversionPlan, out: Path, *more: str, seed: str = "0"
) -> subprocess.CompletedProcess[str]:
    return _run(
        "convert",
        plan.source,
        *(("--weights", str(plan.weights)) if plan.weights else ()),
        *("--model", plan.model, "--version", plan.version),
        *("--preprocessing", '{"height": 8, "width": 8, "scale": 0.0625}'),
        *("--postprocessing", '{"task": "classification"}', "--parameters", PARAMETERS),
        *("--labels", "0,1,2,3,4,5,6,7,8,9", "--calibration", str(plan.calibration)),
        *("--evaluation", str(plan.evaluation), "--out", str(out)),
        *("--target", ",".join(plan.variants), "--allow-slower"),
        *more,
        seed=seed,
    )


def _run(*arguments: str, seed: str = "0") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgekit.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONHASHSEED": seed},
    )
