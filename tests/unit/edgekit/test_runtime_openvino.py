from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit.errors import RuntimeFailedError
from edgekit.manifest import ModelFormat, TensorSpec
from edgekit.runtime import (
    Profiler,
    Session,
    available_runtimes,
    open_session,
    openvino_file,
    runtime_for,
)

WIDE = 256


def write_product(folder: Path) -> tuple[Path, np.ndarray]:
    """Write y = x W for x [1, 256] as OpenVINO's two files; return the .xml and W."""
    from edgekit.runtime.openvino_library import openvino

    weights = np.random.default_rng(0).normal(0, 1, (WIDE, WIDE)).astype(np.float32)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [value("x", TensorProto.FLOAT, [1, WIDE])],
        [value("y", TensorProto.FLOAT, [1, WIDE])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, folder / "product.onnx")
    xml = folder / "product.xml"
    openvino.save_model(
        openvino.convert_model(folder / "product.onnx"), xml, compress_to_fp16=False
    )
    return xml, weights


@pytest.fixture
def product(tmp_path: Path) -> tuple[Session, np.ndarray]:
    xml, weights = write_product(tmp_path)
    return open_session(xml, ModelFormat.OPENVINO), weights


def test_openvino_is_among_the_runtimes():
    assert available_runtimes()["openvino"]


def test_a_session_says_what_it_takes_and_what_runs_it(product: tuple[Session, np.ndarray]):
    session, _ = product
    assert session.inputs == (TensorSpec(name="x", shape=(1, WIDE), dtype="float32"),)
    assert session.outputs == (TensorSpec(name="y", shape=(1, WIDE), dtype="float32"),)
    assert (session.runtime, session.provider) == ("openvino", "cpu")


def test_float32_is_computed_in_float32(product: tuple[Session, np.ndarray]):
    """On a processor with AMX the library's own choice, bfloat16, is off by a hundredth here."""
    session, weights = product
    x = np.random.default_rng(1).normal(0, 1, (1, WIDE)).astype(np.float32)
    np.testing.assert_allclose(session.run([x])[0], x @ weights, atol=1e-4)


def test_a_later_call_does_not_change_an_earlier_result(product: tuple[Session, np.ndarray]):
    session, weights = product
    first = session.run([np.ones((1, WIDE), np.float32)])[0]
    session.run([np.zeros((1, WIDE), np.float32)])
    np.testing.assert_allclose(first, weights.sum(axis=0, keepdims=True), atol=1e-4)


@pytest.mark.parametrize(
    "tensors",
    [
        [np.ones((1, 4), np.float32)],
        [np.ones((1, WIDE), np.float64)],
        [],
        [np.ones((1, WIDE), np.float32)] * 2,
    ],
    ids=["shape", "type", "none", "two"],
)
def test_what_a_model_does_not_take_is_refused_not_converted(
    product: tuple[Session, np.ndarray], tensors: list[np.ndarray]
):
    with pytest.raises(RuntimeFailedError, match="takes x"):
        product[0].run(tensors)


def test_a_packed_model_computes_what_the_two_files_compute(tmp_path: Path):
    xml, weights = write_product(tmp_path)
    packed = tmp_path / "model.openvino"
    packed.write_bytes(openvino_file.pack(*openvino_file.read(xml)))
    session = open_session(packed, ModelFormat.OPENVINO)
    x = np.ones((1, WIDE), np.float32)
    np.testing.assert_allclose(session.run([x])[0], x @ weights, atol=1e-4)
    assert openvino_file.read(packed) == openvino_file.read(xml)


def test_equal_models_pack_to_equal_bytes():
    assert openvino_file.pack(b"<net/>", b"12") == openvino_file.pack(b"<net/>", b"12")


def test_weights_that_are_missing_are_named(tmp_path: Path):
    xml, _ = write_product(tmp_path)
    xml.with_suffix(".bin").unlink()
    with pytest.raises(RuntimeFailedError, match=r"there is no product\.bin"):
        open_session(xml, ModelFormat.OPENVINO)


@pytest.mark.parametrize("content", [b"", b"not a model", openvino_file.pack(b"<net", b"")])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes):
    file = tmp_path / "model.openvino"
    file.write_bytes(content)
    with pytest.raises(RuntimeFailedError, match=r"refuses it"):
        open_session(file, ModelFormat.OPENVINO)


def test_openvino_says_where_the_time_goes(tmp_path: Path):
    xml, _ = write_product(tmp_path)
    runtime = runtime_for(ModelFormat.OPENVINO)
    assert isinstance(runtime, Profiler)
    x = np.ones((1, WIDE), np.float32)
    found = runtime.profile(xml, [[x]], threads=1, runs=5)
    assert any(operator.kind in {"FullyConnected", "MatMul"} for operator in found)
    assert all(operator.median_ms >= 0 for operator in found)
