from pathlib import Path

import numpy as np
import onnx
import pytest

from edgekit.errors import RuntimeFailedError
from edgekit.manifest import ModelFormat, TensorSpec
from edgekit.runtime import Session, available_runtimes, open_session, runtime_for
from edgekit.runtime.onnx import check_provider


@pytest.fixture
def doubling(tmp_path: Path) -> Path:
    """Return a model that adds its input [1, 3] to itself."""
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "x"], ["y"])],
        "doubling",
        [value("x", onnx.TensorProto.FLOAT, [1, 3])],
        [value("y", onnx.TensorProto.FLOAT, [1, 3])],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def session(doubling: Path) -> Session:
    return open_session(doubling, ModelFormat.ONNX)


def test_a_session_says_what_it_takes_and_what_runs_it(session: Session):
    assert session.inputs == (TensorSpec(name="x", shape=(1, 3), dtype="float32"),)
    assert session.outputs == (TensorSpec(name="y", shape=(1, 3), dtype="float32"),)
    assert (session.runtime, session.provider) == ("onnxruntime", "cpu")


def test_a_session_computes(session: Session):
    tensor = np.array([[1, 2, 3]], dtype=np.float32)
    np.testing.assert_array_equal(session.run([tensor])[0], [[2, 4, 6]])


def test_a_later_call_does_not_change_an_earlier_result(session: Session):
    first = session.run([np.ones((1, 3), np.float32)])[0]
    session.run([np.zeros((1, 3), np.float32)])
    np.testing.assert_array_equal(first, [[2, 2, 2]])


@pytest.mark.parametrize(
    "tensors",
    [
        [np.ones((1, 4), np.float32)],
        [np.ones((1, 3), np.float64)],
        [],
        [np.ones((1, 3), np.float32)] * 2,
    ],
    ids=["shape", "type", "none", "two"],
)
def test_wrong_tensors_are_one_error_that_names_the_model(
    session: Session, tensors: list[np.ndarray]
):
    with pytest.raises(RuntimeFailedError, match=r"model\.onnx: inference failed"):
        session.run(tensors)


@pytest.mark.parametrize("model_format", list(ModelFormat))
def test_a_file_that_is_no_model_is_refused_by_name(tmp_path: Path, model_format: ModelFormat):
    path = tmp_path / f"broken.{model_format}"
    path.write_bytes(b"no model" * 10)
    with pytest.raises(RuntimeFailedError, match=r"broken\.\w+: .* refuses it"):
        open_session(path, model_format)


def test_an_absent_file_is_refused_by_name(tmp_path: Path):
    with pytest.raises(RuntimeFailedError, match=r"absent\.onnx"):
        open_session(tmp_path / "absent.onnx", ModelFormat.ONNX)


def test_runtimes_that_cannot_run_here_are_not_offered():
    versions = available_runtimes()
    assert {"onnxruntime", "litert"} <= set(versions)
    assert "tflite-runtime" not in versions
    assert runtime_for(ModelFormat.TFLITE).name == "litert"


def test_a_provider_that_fell_back_in_silence_is_a_failure() -> None:
    check_provider("CPUExecutionProvider", ["CPUExecutionProvider"], where="m")
    for active in (["CPUExecutionProvider"], ["CPUExecutionProvider", "CUDAExecutionProvider"], []):
        with pytest.raises(RuntimeFailedError, match="CUDAExecutionProvider was asked for"):
            check_provider("CUDAExecutionProvider", active, where="m")
