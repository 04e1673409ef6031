"""Takes the ranges of activations of a float ONNX file, as ONNX Runtime's quantizer reads them.

Samples go through one at a time, and of each only the ends of every tensor are kept.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from converters.extras import need
from converters.quantize import Calibration
from converters.quantize.headroom import Ends, exceeded
from converters.quantize.ranges import choose_range, histogram
from converters.quantize.recipes import Method
from converters.targets import onnx_observe as observe
from edgekit.runtime import Tensor

_STRIDE = 64
_CUTTING = ("Relu", "Clip")


def take_ranges(model: Path, out: Path, calibration: Calibration) -> tuple[str, ...]:
    """Write the smallest and the largest value of every tensor over all samples.

    Returns:
        What a person should know about them.
    """
    quantization = need("onnxruntime.quantization.calibrate")
    registry = need("onnxruntime.quantization.registry")
    operators = {*registry.QLinearOpsRegistry, *registry.QDQRegistry}
    names = observe.input_names(model)
    kept, tensors = calibration.held_out_last()
    feeds = (dict(zip(names, sample, strict=True)) for sample in tensors)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        calibrator = quantization.create_calibrator(
            model, sorted(operators), str(Path(folder) / "augmented.onnx")
        )
        first = _ends(_collected(calibrator, islice(feeds, kept)))
        whole = _collected(calibrator, feeds)
    quantization.save_tensors_data(whole, out, smooth_quant=False)
    cut_off = _cut_off(model)
    return exceeded(first, {n: ends for n, ends in _ends(whole).items() if n not in cut_off})


def _cut_off(model: Path) -> set[str]:
    """Return the tensors of which only what an activation leaves is stored."""
    nodes = need("onnx").load(model, load_external_data=False).graph.node
    read = Counter(name for node in nodes for name in node.input)
    return {n.input[0] for n in nodes if n.op_type in _CUTTING and read[n.input[0]] == 1}


def _collected(calibrator: Any, feeds: Iterator[dict[str, Tensor]]) -> Any:  # noqa: ANN401 (onnxruntime)
    """Return the ranges of these and all earlier samples.

    They are merged after each stride, so that memory does not grow with the samples. (The option
    CalibMaxIntermediateOutputs drops samples instead of merging them.)
    """
    reader = _Reader(feeds)
    while not reader.ended:
        reader.left = _STRIDE
        calibrator.collect_data(reader)
    return calibrator.compute_data()


class _Reader:
    """What ONNX Runtime asks for samples, stride by stride."""

    def __init__(self, feeds: Iterator[dict[str, Tensor]]) -> None:
        self._feeds = feeds
        self.left, self.ended = 0, False

    def get_next(self) -> dict[str, Tensor] | None:
        """Return the next inputs by name, None at the end of a stride."""
        if self.left == 0:
            return None
        self.left -= 1
        feed = next(self._feeds, None)
        self.ended = feed is None
        return feed


def _ends(ranges: Any) -> dict[str, Ends]:  # noqa: ANN401 (onnxruntime)
    return {
        name: (float(np.min(data.lowest)), float(np.max(data.highest)))
        for name, data in ranges.items()
    }


def choose_ranges(
    model: Path, exact: Path, out: Path, method: Method, calibration: Calibration
) -> None:
    """Write ranges that a method chooses from histograms between the exact ends in `exact`."""
    quantization = need("onnxruntime.quantization.calibrate")
    known = quantization.load_tensors_data(exact)
    edges = _ends(known)
    counts: dict[str, Tensor] = {}
    for values in observe.activations(model, list(edges), calibration, observe.MAX_OBSERVED):
        for name, value in values.items():
            found = histogram(value, *_with_zero(edges[name]))
            counts[name] = counts[name] + found if name in counts else found
    chosen = {
        name: choose_range(counts[name], *_with_zero(ends), method) if name in counts else ends
        for name, ends in edges.items()
    }
    data = {
        name: (np.asarray(low, np.float32), np.asarray(high, np.float32))
        for name, (low, high) in chosen.items()
    }
    minmax = quantization.CalibrationMethod.MinMax
    quantization.save_tensors_data(quantization.TensorsData(minmax, data), out, smooth_quant=False)


def _with_zero(ends: tuple[float, float]) -> tuple[float, float]:
    return min(ends[0], 0.0), max(ends[1], 0.0)
