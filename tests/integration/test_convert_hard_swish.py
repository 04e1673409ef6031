"""Hard-swish has no 8-bit kernel in ONNX Runtime and XNNPACK: it stays in float where that pays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from converters import pipeline
from converters.pipeline import convert
from converters.plan import ConversionPlan, parse_input
from edgekit.bundle import open_bundle
from edgekit.errors import BudgetError
from edgekit.manifest import Precision

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> ConversionPlan:
    folder = tmp_path_factory.mktemp("hard-swish")
    images = np.random.default_rng(0).normal(size=(160, 1, 8, 8)).cumsum(axis=3)
    np.savez(folder / "held-out.npz", images=images[:100].astype(np.float32))
    np.savez(folder / "calibration.npz", images=images[100:].astype(np.float32))
    return ConversionPlan(
        source="tests.integration.convert_models:hard_swish",
        model="net",
        version="1",
        variants=("onnx-int8",),
        inputs=(parse_input("x=1x1x8x8"),),
        calibration=folder / "calibration.npz",
        evaluation=folder / "held-out.npz",
        metric="agreement",
        out=folder / "out",
        cache=folder / "cache",
    )


def slow(times: int) -> Iterator[dict[str, str]]:
    """Yield that the variant is slower than its float so many times, then that it is not."""
    yield from [{"onnx-int8": "onnx-int8 is slower here than onnx-fp32"}] * times
    while True:
        yield {}


@pytest.fixture
def slower(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Decide what the latency of so small a network would leave to chance."""
    answers = slow(request.param)

    def told(_variants: Mapping[str, object], _floats: Mapping[str, str]) -> dict[str, str]:
        return next(answers)

    monkeypatch.setattr(pipeline, "slower_than_float", told)


def quantized_layers(model: onnx.ModelProto) -> list[bool]:
    """Return of each layer with weights whether it reads values that were stored in 8 bits."""
    stored = {n.output[0] for n in model.graph.node if n.op_type == "DequantizeLinear"}
    layers = [n for n in model.graph.node if n.op_type in {"Conv", "Gemm"}]
    return [set(n.input[:2]) <= stored for n in layers]


def onnx_of(out: Path) -> tuple[onnx.ModelProto, Precision]:
    bundle = open_bundle(out / "net-1-onnx-int8.bundle")
    model = onnx.load_from_string(bundle.read(bundle.manifest.file))
    return model, bundle.manifest.precision


@pytest.mark.parametrize("slower", [1], indirect=True)
def test_what_is_slower_than_its_float_is_made_anew_with_its_fused_convolutions_in_float(
    plan: ConversionPlan, tmp_path: Path, slower: None
):
    report = convert(replace(plan, out=tmp_path / "out"))
    (told,) = report.variants
    assert told.attempts[-1].rung == "min-max, convolutions with hard-swish in float"
    assert f"onnx-int8 is slower here than onnx-fp32, so it has {told.attempts[-1].rung}" in (
        report.notes
    )
    model, precision = onnx_of(tmp_path / "out")
    assert quantized_layers(model) == [False, True, True]
    assert precision is Precision.MIXED


@pytest.mark.parametrize("slower", [0], indirect=True)
def test_what_is_not_slower_is_quantized_throughout(
    plan: ConversionPlan, tmp_path: Path, slower: None
):
    convert(replace(plan, out=tmp_path / "out"))
    model, precision = onnx_of(tmp_path / "out")
    assert quantized_layers(model) == [True, True, True]
    assert precision is Precision.INT8


@pytest.mark.parametrize("slower", [1], indirect=True)
def test_who_allows_slower_files_gets_8_bits_throughout(
    plan: ConversionPlan, tmp_path: Path, slower: None
):
    convert(replace(plan, allow_slower=True, out=tmp_path / "out"))
    assert quantized_layers(onnx_of(tmp_path / "out")[0]) == [True, True, True]


@pytest.mark.parametrize("slower", [2], indirect=True)
def test_what_is_slower_even_so_is_refused(plan: ConversionPlan, tmp_path: Path, slower: None):
    with pytest.raises(BudgetError, match="onnx-int8 is slower here than onnx-fp32"):
        convert(replace(plan, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_tflite_computes_hard_swish_in_float(plan: ConversionPlan, tmp_path: Path):
    from ai_edge_litert.interpreter import Interpreter

    convert(replace(plan, variants=("tflite-int8",), allow_slower=True, out=tmp_path / "out"))
    bundle = open_bundle(tmp_path / "out" / "net-1-tflite-int8.bundle")
    interpreter = Interpreter(model_content=bundle.read(bundle.manifest.file))
    kinds = {one["index"]: one["dtype"] for one in interpreter.get_tensor_details()}
    read = {one["op_name"]: kinds[one["inputs"][0]] for one in interpreter._get_ops_details()}
    assert read["HARD_SWISH"] == np.float32
    assert read["CONV_2D"] == np.int8
