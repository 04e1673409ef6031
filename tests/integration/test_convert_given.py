"""Files that somebody else made: weights beside the file, a reference to agree with, state."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from converters.given import package_given
from converters.pipeline import convert
from converters.plan import ConversionPlan
from edgekit.bundle import open_bundle
from edgekit.errors import ParityError
from edgekit.manifest import ModelFormat, Preprocessing
from edgekit.runtime import open_session
from tests.integration.convert_real import speech

pytestmark = pytest.mark.integration


@pytest.fixture
def plan(test_data: Path, tmp_path: Path) -> ConversionPlan:
    with np.load(test_data / "mnist" / "mnist_8k.npz") as data:
        images, labels = data["images"][:200], data["labels"][:200]
    np.savez(tmp_path / "held-out.npz", images=images[:150], labels=labels[:150])
    np.savez(tmp_path / "calibration.npz", images=images[150:])
    return ConversionPlan(
        source=str(test_data / "ort_examples" / "mnist.onnx"),
        model="mnist",
        version="1",
        variants=("auto",),
        preprocessing=Preprocessing(height=28, width=28),
        calibration=tmp_path / "calibration.npz",
        evaluation=tmp_path / "held-out.npz",
        allow_slower=True,
        out=tmp_path / "out",
    )


def apart(source: str, folder: Path) -> Path:
    """Write an ONNX file whose weights lie in another file beside it."""
    folder.mkdir()
    path = folder / "apart.onnx"
    model = onnx.load(source)
    weights = {t.name for t in model.graph.initializer}
    model.ir_version = 8
    kept = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    for tensor in model.graph.initializer:  # only raw bytes can lie apart
        values = onnx.numpy_helper.to_array(tensor)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save_model(
        model, path, save_as_external_data=True, location="weights.bin", size_threshold=512
    )
    assert (folder / "weights.bin").stat().st_size > 10_000
    return path


def test_an_onnx_file_with_weights_beside_it_is_converted(plan: ConversionPlan, tmp_path: Path):
    source = apart(plan.source, tmp_path / "apart")
    report = convert(replace(plan, source=str(source), variants=("onnx-fp32", "onnx-int8")))
    assert [v.accuracy for v in report.variants] == pytest.approx([0.99, 0.99], abs=0.02)


def test_weights_beside_a_ready_made_file_are_taken_into_the_bundle(
    plan: ConversionPlan, tmp_path: Path
):
    source = apart(plan.source, tmp_path / "apart")
    (told,) = package_given(replace(plan, source=str(source))).variants
    shutil.rmtree(source.parent)
    bundle = open_bundle(plan.out / told.bundle)
    (tmp_path / "alone.onnx").write_bytes(bundle.read("model.onnx"))
    inputs = [np.ones((1, 1, 28, 28), np.float32)]
    alone = open_session(tmp_path / "alone.onnx", ModelFormat.ONNX).run(inputs)
    whole = open_session(Path(plan.source), ModelFormat.ONNX).run(inputs)
    np.testing.assert_array_equal(alone[0], whole[0])


def test_a_ready_made_file_is_compared_with_its_reference(plan: ConversionPlan, tmp_path: Path):
    made = convert(replace(plan, variants=("onnx-int8",), out=tmp_path / "made"))
    file = tmp_path / "vendor.onnx"
    bundle = open_bundle(tmp_path / "made" / made.variants[0].bundle)
    file.write_bytes(bundle.read("model.onnx"))
    report = package_given(replace(plan, source=str(file)), reference=plan.source)
    assert report.source.name == plan.source
    assert 20 < report.variants[0].sqnr_db < 60
    assert not any("compared with no other model" in note for note in report.notes)


def test_a_ready_made_file_that_computes_something_else_is_no_bundle_and_exit_1(
    plan: ConversionPlan, tmp_path: Path
):
    model = onnx.load(plan.source)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 4:
            values = onnx.numpy_helper.to_array(tensor)[::-1].copy()
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(model, tmp_path / "other.onnx")
    given = replace(plan, source=str(tmp_path / "other.onnx"))
    with pytest.raises(ParityError, match="does not compute what the source computes") as caught:
        package_given(given, reference=plan.source)
    assert caught.value.exit_code == 1
    assert not plan.out.exists()


def test_state_of_a_ready_made_file_is_fed_back(test_data: Path, tmp_path: Path):
    arrays: dict[str, Any] = {n: a[:60] for n, a in speech(test_data / "silero_vad").items()}
    np.savez(tmp_path / "speech.npz", **arrays)
    plan = ConversionPlan(
        source=str(test_data / "silero_vad" / "silero_vad_16k_op15.onnx"),
        model="vad",
        version="1",
        variants=("auto",),
        evaluation=tmp_path / "speech.npz",
        state=(("state", "stateN"),),
        metric="parity",
        out=tmp_path / "out",
    )
    (told,) = package_given(plan, reference=plan.source).variants
    manifest = open_bundle(plan.out / told.bundle).manifest
    assert manifest.features == ("several-inputs",)
    assert told.sqnr_db > 100
