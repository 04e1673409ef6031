"""ONNX Runtime behind the common seam."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import MissingExtraError, RuntimeFailedError
from edgekit.manifest import ModelFormat, TensorSpec
from edgekit.runtime.base import Session, Tensor, first_line, installed_version
from edgekit.runtime.onnx_profile import operator_times
from edgekit.runtime.profile import OperatorTime

PROVIDER = "CPUExecutionProvider"
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}


class OnnxRuntime:
    """Opens .onnx files on the CPU execution provider."""

    name = "onnxruntime"
    format = ModelFormat.ONNX
    module = "onnxruntime"
    extra = "agent"

    def version(self) -> str:
        """Return the installed version, read without importing it; empty when absent."""
        return installed_version("onnxruntime")

    def open(self, model: Path, *, threads: int = 1) -> Session:
        """Load a model file.

        Raises:
            MissingExtraError: onnxruntime is not installed.
            RuntimeFailedError: It refuses the file.
        """
        return _OnnxSession(_session(model, _options(threads)), str(model))

    def profile(
        self, model: Path, inputs: Sequence[Sequence[Tensor]], *, threads: int, runs: int
    ) -> tuple[OperatorTime, ...]:
        """Run a model and return the median of each kernel. As `Profiler.profile`."""
        with tempfile.TemporaryDirectory() as folder:
            options = _options(threads)
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(folder) / "profile")
            raw = _session(model, options)
            session = _OnnxSession(raw, str(model))
            for _, tensors in zip(range(runs), itertools.cycle(inputs), strict=False):
                session.run(tensors)
            return operator_times(Path(raw.end_profiling()).read_bytes(), where=str(model))


def _options(threads: int) -> Any:  # noqa: ANN401 (untyped library)
    options = _onnxruntime().SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _session(model: Path, options: Any) -> Any:  # noqa: ANN401 (untyped library)
    try:
        session = _onnxruntime().InferenceSession(str(model), options, providers=[PROVIDER])
    except Exception as error:
        raise RuntimeFailedError(
            f"ONNX Runtime refuses it ({first_line(error)})", where=str(model)
        ) from error
    check_provider(PROVIDER, session.get_providers(), where=str(model))
    return session


def check_provider(wanted: str, active: Sequence[str], *, where: str) -> None:
    """Refuse a session that runs elsewhere than was asked: ONNX Runtime falls back in silence.

    Args:
        wanted: Such as "CUDAExecutionProvider".
        active: What the session says, the preferred one first.
        where: The model.

    Raises:
        RuntimeFailedError: Another provider would do the work.
    """
    if list(active[:1]) != [wanted]:
        found = ", ".join(active) or "nothing"
        raise RuntimeFailedError(f"{wanted} was asked for, {found} came", where=where)


def _onnxruntime() -> Any:  # noqa: ANN401 (untyped library)
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise
        raise MissingExtraError("onnxruntime", "agent") from error
    return onnxruntime


class _OnnxSession:
    runtime = "onnxruntime"

    def __init__(self, session: Any, where: str) -> None:  # noqa: ANN401 (untyped library)
        self._session = session
        self._where = where
        self._inputs = tuple(_spec(i) for i in session.get_inputs())
        self._outputs = tuple(_spec(o) for o in session.get_outputs())
        self._input_names = [i.name for i in self._inputs]
        self._output_names = [o.name for o in self._outputs]

    @property
    def provider(self) -> str:
        return str(self._session.get_providers()[0]).removesuffix("ExecutionProvider").lower()

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._outputs

    def run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        try:
            feed = dict(zip(self._input_names, tensors, strict=True))
            results = self._session.run(self._output_names, feed)
        except Exception as error:
            raise RuntimeFailedError(
                f"inference failed ({first_line(error)})", where=self._where
            ) from error
        return [np.asarray(r) for r in results]


def _spec(node: Any) -> TensorSpec:  # noqa: ANN401 (untyped library)
    shape = tuple(d if isinstance(d, int) else str(d or "?") for d in node.shape)
    return TensorSpec(name=node.name, shape=shape, dtype=_DTYPES.get(node.type, node.type))
