"""A model to OpenVINO: float32 and int8 by NNCF, packed, proven, the same bytes again."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from converters.evaluate import sqnr_db
from converters.given import package_given
from converters.plan import ConversionPlan
from converters.report import ConversionReport
from edgekit import codec
from edgekit.bundle import open_bundle
from edgekit.device import DeviceProfile, pick_variant
from edgekit.errors import SourceError
from edgekit.golden import check_golden, read_golden
from edgekit.manifest import ModelFormat, Precision, Preprocessing
from edgekit.runtime import open_session, openvino_file
from tests.integration.convert_models import trained_digits

pytestmark = pytest.mark.integration
CHECKOUT = Path(__file__).resolve().parents[2]
VARIANTS = ("onnx-fp32", "openvino-fp32", "openvino-int8")
PREPROCESSING = '{"height": 8, "width": 8, "scale": 0.0625}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("openvino")
    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target
    np.savez(folder / "held-out.npz", images=images[:300], labels=labels[:300])
    np.savez(folder / "calibration.npz", images=images[300:400])
    torch.save(trained_digits(images[300:], labels[300:]), folder / "weights.pt")
    return folder


@pytest.fixture(scope="module")
def report(folder: Path) -> ConversionReport:
    return convert(folder, folder / "out")


def convert(folder: Path, out: Path) -> ConversionReport:
    words = ["tests.integration.convert_models:tiny", "--weights", str(folder / "weights.pt")]
    words += ["--model", "digits", "--version", "1", "--target", ",".join(VARIANTS)]
    words += ["--preprocessing", PREPROCESSING, "--calibration", str(folder / "calibration.npz")]
    words += ["--evaluation", str(folder / "held-out.npz"), "--out", str(out)]
    done = edgekit("convert", *words, "--allow-slower", "--json")
    assert done.returncode == 0, done.stderr
    return codec.decode(done.stdout.encode(), ConversionReport, where="report")


def edgekit(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgekit.cli", *words],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_both_precisions_keep_the_accuracy_of_the_source(report: ConversionReport):
    assert [v.variant for v in report.variants] == list(VARIANTS)
    assert report.source.accuracy
    for variant in report.variants:
        assert variant.accuracy is not None
        assert variant.accuracy >= report.source.accuracy - 0.01


def test_float32_is_float32_and_int8_is_int8(folder: Path, report: ConversionReport):
    sqnr = {v.variant: v.sqnr_db for v in report.variants}
    assert sqnr["openvino-fp32"] > 100
    assert 20 < sqnr["openvino-int8"] < 80
    packed = open_bundle(folder / "out" / "digits-1-openvino-int8.bundle").read("model.openvino")
    (folder / "int8.openvino").write_bytes(packed)
    assert b'element_type="i8"' in openvino_file.read(folder / "int8.openvino")[0]


def test_the_signal_after_each_layer_is_told_and_ends_with_that_of_the_answers(
    folder: Path, report: ConversionReport
):
    (told,) = (v for v in report.variants if v.variant == "openvino-int8")
    assert [layer.operator for layer in told.layers] == ["Convolution", "MatMul"]
    assert all(layer.sqnr_db > 20 for layer in told.layers)
    exact, rounded = (
        read_golden(open_bundle(folder / "out" / f"digits-1-{name}.bundle")).outputs[0]
        for name in ("openvino-fp32", "openvino-int8")
    )
    assert told.layers[-1].sqnr_db == pytest.approx(sqnr_db(exact, rounded), abs=0.1)


@pytest.mark.parametrize("variant", VARIANTS[1:])
def test_golden_samples_reproduce_from_the_bundle(
    folder: Path, report: ConversionReport, tmp_path: Path, variant: str
):
    bundle = open_bundle(folder / "out" / f"digits-1-{variant}.bundle")
    bundle.extract(tmp_path)
    manifest = bundle.manifest
    session = open_session(tmp_path / manifest.file, manifest.format)
    assert check_golden(session, read_golden(bundle), manifest) <= manifest.golden.atol
    assert [r.name for r in manifest.requires.runtimes] == ["openvino"]


def test_another_process_makes_the_same_bytes_without_a_trace_of_this_machine(
    folder: Path, report: ConversionReport, tmp_path: Path
):
    again = convert(folder, tmp_path / "again")
    assert [v.sha256 for v in again.variants] == [v.sha256 for v in report.variants]
    for variant in VARIANTS[1:]:
        content = (folder / "out" / f"digits-1-{variant}.bundle").read_bytes()
        for trace in (str(CHECKOUT), str(folder), "convert_models.py"):
            assert trace.encode() not in content


def test_a_device_with_openvino_gets_int8_and_one_without_gets_the_onnx_file(
    folder: Path, report: ConversionReport
):
    manifests = [open_bundle(folder / "out" / v.bundle).manifest for v in report.variants]
    box = DeviceProfile(arch="x86_64", runtimes={"openvino": "2026.4.1", "onnxruntime": "1.31.1"})
    picked = pick_variant(manifests, box)
    assert picked is not None
    assert picked.variant == "openvino-int8"
    picked = pick_variant(manifests, replace(box, runtimes={"onnxruntime": "1.31.1"}))
    assert picked is not None
    assert picked.variant == "onnx-fp32"


def given(folder: Path, tmp_path: Path) -> tuple[Path, ConversionPlan]:
    """Return OpenVINO's two files as their maker has them, and a plan to package them."""
    bundle = open_bundle(folder / "out" / "digits-1-openvino-int8.bundle")
    packed = tmp_path / "packed.openvino"
    packed.write_bytes(bundle.read("model.openvino"))
    xml, weights = openvino_file.read(packed)
    (tmp_path / "vendor.xml").write_bytes(xml)
    (tmp_path / "vendor.bin").write_bytes(weights)
    return tmp_path / "vendor.xml", ConversionPlan(
        source=str(tmp_path / "vendor.xml"),
        model="digits",
        version="2",
        variants=("auto",),
        evaluation=folder / "held-out.npz",
        preprocessing=Preprocessing(height=8, width=8, scale=1 / 16),
        out=tmp_path / "given",
    )


def test_a_ready_made_model_of_two_files_becomes_one_bundle(
    folder: Path, report: ConversionReport, tmp_path: Path
):
    _, plan = given(folder, tmp_path)
    (variant,) = package_given(plan).variants
    manifest = open_bundle(tmp_path / "given" / variant.bundle).manifest
    assert manifest.format is ModelFormat.OPENVINO
    assert manifest.precision is Precision.INT8
    assert manifest.variant == "openvino-int8"
    assert manifest.lineage.source == "vendor.xml"


def test_a_model_without_its_weights_is_refused_and_leaves_nothing(
    folder: Path, report: ConversionReport, tmp_path: Path
):
    xml, plan = given(folder, tmp_path)
    xml.with_suffix(".bin").unlink()
    with pytest.raises(SourceError, match=r"there is no vendor\.bin"):
        package_given(plan)
    assert not (tmp_path / "given").exists()


def test_a_bundle_and_an_xml_can_be_measured(
    folder: Path, report: ConversionReport, tmp_path: Path
):
    xml, _ = given(folder, tmp_path)
    for file in (folder / "out" / "digits-1-openvino-int8.bundle", xml):
        done = edgekit("bench", str(file), "--num-runs", "64", "--min-secs", "0")
        assert done.returncode == 0, done.stderr
        assert "openvino 2026.4.1 (cpu)" in done.stdout
