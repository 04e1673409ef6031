"""OpenVINO behind the common seam: x86 edge boxes.

Left alone, OpenVINO computes float32 models in bfloat16 on processors with AMX, 19 dB from what
they say; here float32 is float32. Variables inside a model are reset before each run.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from edgekit.errors import MissingExtraError, RuntimeFailedError
from edgekit.manifest import ModelFormat, TensorSpec
from edgekit.runtime.base import Session, Tensor, first_line, installed_version
from edgekit.runtime.openvino_file import read
from edgekit.runtime.profile import OperatorTime


class OpenVino:
    """Opens packed OpenVINO models, and .xml files, on the CPU."""

    name = "openvino"
    format = ModelFormat.OPENVINO
    module = "edgekit.runtime.openvino_library"
    extra = "agent-openvino"

    def version(self) -> str:
        """Return the installed version, read without importing it; empty when absent."""
        return installed_version("openvino")

    def open(self, model: Path, *, threads: int = 1) -> Session:
        """Load a model file. Raises as `Runtime.open` does."""
        return _OpenVinoSession(self._compiled(model, _options(threads)), str(model))

    def profile(
        self, model: Path, inputs: Sequence[Sequence[Tensor]], *, threads: int, runs: int
    ) -> tuple[OperatorTime, ...]:
        """Run a model and return the median of each operator. As `Profiler.profile`."""
        options = {**_options(threads), "PERF_COUNT": "YES"}
        session = _OpenVinoSession(self._compiled(model, options), str(model))
        times: dict[tuple[str, str], list[float]] = {}
        for _, tensors in zip(range(runs), itertools.cycle(inputs), strict=False):
            session.run(tensors)
            for name, kind, ms in session.operators():
                times.setdefault((name, kind), []).append(ms)
        return tuple(
            OperatorTime(name=name, kind=kind, median_ms=median(found[1:] or found))
            for (name, kind), found in times.items()
        )

    def _compiled(self, model: Path, options: Mapping[str, str]) -> Any:  # noqa: ANN401 (untyped library)
        library = self._library()
        xml, weights = read(model)
        try:
            core = library.Core()
            return core.compile_model(core.read_model(xml, weights), "CPU", dict(options))
        except Exception as error:
            raise RuntimeFailedError(
                f"OpenVINO refuses it ({first_line(error)})", where=str(model)
            ) from error

    def _library(self) -> Any:  # noqa: ANN401 (untyped library)
        try:
            return importlib.import_module(self.module).openvino
        except ModuleNotFoundError as error:
            if error.name != "openvino":
                raise
            raise MissingExtraError("openvino", self.extra) from error


def _options(threads: int) -> dict[str, str]:
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": str(threads),
        "NUM_STREAMS": "1",
        "PERFORMANCE_HINT": "LATENCY",
        # Several models of one device would all be pinned to the same cores.
        "ENABLE_CPU_PINNING": "NO",
    }


class _OpenVinoSession:
    runtime = "openvino"
    provider = "cpu"

    def __init__(self, compiled: Any, where: str) -> None:  # noqa: ANN401 (untyped library)
        self._request = compiled.create_infer_request()
        self._where = where
        self._inputs = tuple(_spec(port) for port in compiled.inputs)
        self._outputs = tuple(_spec(port) for port in compiled.outputs)
        self._stateful = bool(self._request.query_state())

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._outputs

    def run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        self._check(tensors)
        try:
            if self._stateful:
                self._request.reset_state()
            feed = dict(enumerate(np.ascontiguousarray(t).reshape(t.shape) for t in tensors))
            answers = self._request.infer(feed, share_inputs=True)
            return [np.array(answers[index]) for index in range(len(self._outputs))]
        except Exception as error:
            raise RuntimeFailedError(
                f"inference failed ({first_line(error)})", where=self._where
            ) from error

    def operators(self) -> Iterator[tuple[str, str, float]]:
        """Yield name, kind and milliseconds of what the last run executed."""
        for info in self._request.get_profiling_info():
            if info.status == info.Status.EXECUTED:
                yield info.node_name, info.node_type, info.real_time.total_seconds() * 1e3

    def _check(self, tensors: Sequence[Tensor]) -> None:
        """Refuse what the library would take and silently convert."""
        given = [(tensor.dtype.name, tensor.shape) for tensor in tensors]
        same = len(given) == len(self._inputs) and all(
            dtype == spec.dtype and _fits(shape, spec.shape)
            for (dtype, shape), spec in zip(given, self._inputs, strict=True)
        )
        if not same:
            wanted = ", ".join(f"{s.name} {list(s.shape)} {s.dtype}" for s in self._inputs)
            got = ", ".join(f"{list(shape)} {dtype}" for dtype, shape in given)
            raise RuntimeFailedError(f"takes {wanted}, got {got}", where=self._where)


def _fits(shape: tuple[int, ...], wanted: tuple[int | str, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        isinstance(size, str) or size == have for size, have in zip(wanted, shape, strict=True)
    )


def _spec(port: Any) -> TensorSpec:  # noqa: ANN401 (untyped library)
    shape = tuple(d.get_length() if d.is_static else "?" for d in port.get_partial_shape())
    names = sorted(port.get_names())
    return TensorSpec(
        name=names[0] if names else port.get_node().get_friendly_name(),
        shape=shape,
        dtype=port.get_element_type().to_dtype().name,
    )
