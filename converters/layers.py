"""Where a quantized file loses: the signal that is left after each layer, and the layer's range.

Float and quantized file run side by side on the same samples; tensors that have the same name in
both are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from converters.evaluate import decibels
from converters.proof import Reference
from converters.quantize import Calibration
from converters.targets import onnx_observe, openvino_observe, tflite_observe
from converters.targets.base import Observer, Spot
from edgekit.manifest import ModelFormat, Preprocessing
from edgekit.runtime.base import Tensor

_OBSERVERS: Mapping[ModelFormat, Observer] = {
    ModelFormat.ONNX: onnx_observe,
    ModelFormat.OPENVINO: openvino_observe,
    ModelFormat.TFLITE: tflite_observe,
}
_ONNX = {
    *("Add", "AveragePool", "Conv", "ConvTranspose", "GRU", "Gemm", "GlobalAveragePool"),
    *("LSTM", "MatMul"),
}
_OPENVINO = {"AvgPool", "Convolution", "ConvolutionBackpropData", "GroupConvolution", "ReduceMean"}
_TFLITE = {
    *("ADD", "AVERAGE_POOL_2D", "BATCH_MATMUL", "CONV_2D", "CONV_2D_TRANSPOSE"),
    *("DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MEAN"),
}
_LAYERS = _ONNX | _OPENVINO | _TFLITE
MAX_LAYERS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer of a quantized file.

    Attributes:
        name: Of its output tensor.
        operator: Its kind, such as "Conv".
        sqnr_db: Signal that is left after it, dB: errors of the layers before it included.
        low: Smallest value of the float file's output.
        high: Largest.
    """

    name: str
    operator: str
    sqnr_db: float
    low: float
    high: float


def layers_of(
    kind: ModelFormat,
    floating: Path,
    quantized: Path,
    reference: Reference,
    preprocessing: Preprocessing | None,
) -> tuple[Layer, ...]:
    """Return the layers that both files have, in order, on the golden samples; 200 at most."""
    observer = _OBSERVERS[kind]
    shared = _shared(observer, floating, quantized)
    if not shared:
        return ()
    samples = _golden(reference, preprocessing)
    losses = {spot.name: _Loss() for spot in shared}
    for wanted, got in zip(
        observer.values(floating, list(losses), samples.tensors()),
        observer.values(quantized, [spot.tensor for spot in shared], samples.tensors()),
        strict=True,
    ):
        for spot in shared:
            losses[spot.name].see(wanted[spot.name], got[spot.tensor])
    return tuple(losses[spot.name].layer(spot.name, spot.operator) for spot in shared)


def _shared(observer: Observer, floating: Path, quantized: Path) -> list[Spot]:
    """Return the layers of a quantized file by their names in the float file."""
    known = {spot.name for spot in observer.spots(floating)}
    found = [
        replace(spot, name=next((n for n in (spot.name, spot.tensor) if n in known), ""))
        for spot in observer.spots(quantized)
        if spot.operator in _LAYERS
    ]
    return [spot for spot in found if spot.name][:MAX_LAYERS]


class _Loss:
    """What is known about one layer after some samples."""

    def __init__(self) -> None:
        self._signal = self._noise = 0.0
        self._low, self._high = np.inf, -np.inf

    def see(self, wanted: Tensor, got: Tensor) -> None:
        """Take the answers of both files to one sample into account."""
        exact = wanted.astype(np.float64)
        self._signal += float(np.sum(exact**2))
        self._noise += float(np.sum((exact - got) ** 2))
        self._low = min(self._low, float(wanted.min()))
        self._high = max(self._high, float(wanted.max()))

    def layer(self, name: str, kind: str) -> Layer:
        return Layer(
            name=name,
            operator=kind,
            sqnr_db=decibels(self._signal, self._noise),
            low=self._low,
            high=self._high,
        )


def _golden(reference: Reference, preprocessing: Preprocessing | None) -> Calibration:
    """Return the golden samples as what activations are observed on."""
    samples, chosen = reference.samples, reference.golden
    few = replace(
        samples,
        images=[samples.images[i] for i in chosen],
        labels=None,
        arrays={n: [np.asarray(a[i]) for i in chosen] for n, a in samples.arrays.items()},
        prints=None,
    )
    return Calibration(samples=few, preprocessing=preprocessing, advance=_quietly)


def _quietly(_done: int, _total: int) -> None:
    """Tell nobody."""
