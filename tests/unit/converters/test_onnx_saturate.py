"""Saturating sums of pairs, against the arithmetic written out value by value."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters.crosscpu import compared
from converters.targets.onnx_saturate import saturating_answers
from edgekit.manifest import ModelFormat
from edgekit.runtime import open_session

SX, SW, ZERO = np.float32(0.5), np.float32(0.25), 3


def quantized(folder: Path, weight: np.ndarray, node: onnx.NodeProto, shape: list[int]) -> Path:
    """Write x -> Q -> DQ -> node(w: DQ of int8) -> y."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["qx"]),
        helper.make_node("DequantizeLinear", ["qx", "sx", "zx"], ["dx"]),
        helper.make_node("DequantizeLinear", ["qw", "sw", "zw"], ["dw"]),
        node,
    ]
    constants = {
        "sx": np.array(SX), "zx": np.array(ZERO, np.uint8), "qw": weight,
        "sw": np.array(SW), "zw": np.array(0, np.int8),
    }  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "quantized",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    path = folder / "quantized.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, path)
    return path


def codes(x: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.clip(np.rint(x / SX) + ZERO, 0, 255).astype(np.int64)
    return found


def pairwise(activations: np.ndarray, weights: np.ndarray) -> int:
    """Return the sum of products as VPMADDUBSW and VPADDD make it."""
    total = 0
    for i in range(0, len(activations), 2):
        pair = sum(int(a) * int(w) for a, w in zip(activations[i : i + 2], weights[i : i + 2]))  # noqa: B905
        total += min(32767, max(-32768, pair))
    return total


@pytest.mark.parametrize("width", [6, 7])
def test_a_matrix_product_saturates_in_pairs_of_its_reduction(tmp_path: Path, width: int):
    rng = np.random.default_rng(0)
    weight = rng.integers(100, 128, (width, 4), dtype=np.int8)
    model = quantized(tmp_path, weight, helper.make_node("MatMul", ["dx", "dw"], ["y"]), [2, width])
    x = rng.uniform(80, 126, (2, width)).astype(np.float32)
    found = saturating_answers(model, [[x]])
    assert found is not None
    expected = [
        [SX * SW * (pairwise(row, column) - ZERO * column.sum(dtype=int)) for column in weight.T]
        for row in codes(x)
    ]
    np.testing.assert_allclose(found[0][0], expected, rtol=1e-5)
    (here,) = open_session(model, ModelFormat.ONNX).run([x])
    assert np.abs(here - found[0][0]).max() > 100


@pytest.mark.parametrize("how", [{"pads": [1, 1, 1, 1]}, {"auto_pad": "SAME_UPPER"}])
def test_a_convolution_pairs_channels_of_one_place(tmp_path: Path, how: dict[str, Any]):
    rng = np.random.default_rng(1)
    weight = rng.integers(90, 128, (3, 4, 3, 3), dtype=np.int8)
    node = helper.make_node("Conv", ["dx", "dw"], ["y"], **how, strides=[2, 2])
    model = quantized(tmp_path, weight, node, [1, 4, 5, 5])
    x = rng.uniform(60, 126, (1, 4, 5, 5)).astype(np.float32)
    found = saturating_answers(model, [[x]])
    assert found is not None
    image = np.pad(codes(x)[0], ((0, 0), (1, 1), (1, 1)), constant_values=ZERO)
    expected = np.zeros((1, 3, 3, 3))
    for m, i, j in np.ndindex(3, 3, 3):
        window = image[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].transpose(1, 2, 0).ravel()
        kernel = weight[m].transpose(1, 2, 0).ravel()
        exact = pairwise(window, kernel) - ZERO * kernel.sum(dtype=int)
        expected[0, m, i, j] = SX * SW * exact
    np.testing.assert_allclose(found[0][0], expected, rtol=1e-5)


def test_weights_of_7_bits_cannot_saturate(tmp_path: Path):
    weight = np.full((8, 4), 64, np.int8)
    node = helper.make_node("MatMul", ["dx", "dw"], ["y"])
    assert saturating_answers(quantized(tmp_path, weight, node, [1, 8]), []) is None


def test_depthwise_convolutions_do_not_saturate(tmp_path: Path):
    weight = np.full((4, 1, 3, 3), 127, np.int8)
    node = helper.make_node("Conv", ["dx", "dw"], ["y"], group=4)
    assert saturating_answers(quantized(tmp_path, weight, node, [1, 4, 5, 5]), []) is None


def test_a_file_that_answers_otherwise_without_vnni_is_for_vnni_only(tmp_path: Path):
    weight = np.full((8, 4), 127, np.int8)
    model = quantized(tmp_path, weight, helper.make_node("MatMul", ["dx", "dw"], ["y"]), [1, 8])
    session = open_session(model, ModelFormat.ONNX)
    bright, dark = (np.full((1, 8), value, np.float32) for value in (126, 1))

    def found(x: np.ndarray) -> tuple[tuple[str, ...], str]:
        told = compared(saturating_answers, model, session, [[x]], atol=0.1, where="v")
        return told.instruction_sets, told.note

    sets, note = found(bright)
    assert sets == ("vnni",)
    assert "simulated" in note
    assert found(dark)[0] == ()
