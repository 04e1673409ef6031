"""LiteRT and the older tflite-runtime behind the common seam.

Both have the same Interpreter. tflite-runtime 2.14 imports beside NumPy 2 and then cannot run, so
`version` looks at NumPy's version too; dynamic-range int8 files it computes silently wrong, so
variants state the runtimes that they were proven for.

A file whose ends are scaled integers takes either those integers or real values (float32), which
are quantized on the way in; what comes out of it are real values. Variables inside a file (LSTM
states) are reset before each run: state that lasts is an input and an output of the model.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import MissingExtraError, RuntimeFailedError
from edgekit.manifest import ModelFormat, TensorSpec
from edgekit.runtime.base import Session, Tensor, first_line, installed_version


class LiteRt:
    """Opens .tflite files with ai-edge-litert."""

    name = "litert"
    format = ModelFormat.TFLITE
    module = "ai_edge_litert.interpreter"
    extra = "agent"

    def version(self) -> str:
        """Return the installed version, read without importing it; empty when absent."""
        return installed_version("ai-edge-litert")

    def open(self, model: Path, *, threads: int = 1) -> Session:
        """Load a model file. Raises as `Runtime.open` does."""
        module = _import(self.module, "ai-edge-litert", self.extra)
        return _open(module, self.name, model, threads)


class TfliteRuntime:
    """Opens .tflite files with tflite-runtime 2.14."""

    name = "tflite-runtime"
    format = ModelFormat.TFLITE
    module = "tflite_runtime.interpreter"
    extra = "agent-tflite"

    def version(self) -> str:
        """Return the installed version; empty when absent or beside NumPy 2, where it fails."""
        if not installed_version("numpy").startswith("1."):
            return ""
        return installed_version("tflite-runtime")

    def open(self, model: Path, *, threads: int = 1) -> Session:
        """Load a model file. Raises as `Runtime.open` does."""
        module = _import(self.module, "tflite-runtime", self.extra)
        return _open(module, self.name, model, threads)


class _TfliteSession:
    provider = "cpu"

    def __init__(self, interpreter: Any, runtime: str, where: str) -> None:  # noqa: ANN401 (untyped library)
        self._interpreter = interpreter
        self._runtime = runtime
        self._where = where
        self._input_details = interpreter.get_input_details()
        self._output_details = interpreter.get_output_details()

    @property
    def runtime(self) -> str:
        return self._runtime

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return tuple(_spec(d) for d in self._input_details)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return tuple(_real_spec(d) for d in self._output_details)

    def run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        try:
            self._interpreter.reset_all_variables()
            for detail, tensor in zip(self._input_details, tensors, strict=True):
                self._interpreter.set_tensor(detail["index"], _quantized(tensor, detail))
            self._interpreter.invoke()
            return [self._real(detail) for detail in self._output_details]
        except (ValueError, RuntimeError) as error:
            raise RuntimeFailedError(
                f"inference failed ({first_line(error)})", where=self._where
            ) from error

    def _real(self, detail: dict[str, Any]) -> Tensor:
        answer: Tensor = self._interpreter.get_tensor(detail["index"])
        scale, zero_point = detail["quantization"]
        if answer.dtype.kind == "f" or not scale:
            return answer
        real: Tensor = (answer.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
        return real


def _quantized(tensor: Tensor, detail: dict[str, Any]) -> Tensor:
    """Round real values to the input's grid, x = scale * (q - zero_point).

    Whole numbers of another width are narrowed where they fit; what does not fit is passed on and
    refused by the runtime.
    """
    scale, zero_point = detail["quantization"]
    dtype = np.dtype(detail["dtype"])
    if tensor.dtype == dtype or dtype.kind not in "ui":
        return tensor
    limits = np.iinfo(dtype)
    if tensor.dtype.kind in "ui" and np.all((tensor >= limits.min) & (tensor <= limits.max)):
        return tensor.astype(dtype)
    if tensor.dtype.kind != "f" or not scale:
        return tensor
    steps = np.rint(tensor / np.float32(scale)) + zero_point
    whole: Tensor = np.clip(steps, limits.min, limits.max).astype(dtype)
    return whole


def _open(module: Any, runtime: str, model: Path, threads: int) -> Session:  # noqa: ANN401 (untyped library)
    try:
        interpreter = module.Interpreter(model_path=str(model), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise RuntimeFailedError(
            f"{runtime} refuses it ({first_line(error)})", where=str(model)
        ) from error
    return _TfliteSession(interpreter, runtime, str(model))


def _import(module: str, package: str, extra: str) -> Any:  # noqa: ANN401 (untyped library)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise MissingExtraError(package, extra) from error


def _spec(detail: dict[str, Any]) -> TensorSpec:
    return TensorSpec(
        name=str(detail["name"]),
        shape=tuple(int(d) for d in detail["shape"]),
        dtype=np.dtype(detail["dtype"]).name,
    )


def _real_spec(detail: dict[str, Any]) -> TensorSpec:
    spec = _spec(detail)
    scaled = np.dtype(detail["dtype"]).kind != "f" and detail["quantization"][0]
    return replace(spec, dtype="float32") if scaled else spec
