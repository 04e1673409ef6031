"""Where a quantized file loses: the signal that is left after each layer, and the layer's range.

Float and quantized file run side by side on the same samples. ONNX only: the values between the
layers of other formats have no names that both files share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from converters.evaluate import decibels
from converters.extras import need
from converters.proof import Reference
from converters.quantize import Calibration
from converters.targets.onnx_observe import activations
from edgekit.manifest import Preprocessing
from edgekit.runtime.base import Tensor

_LAYERS = frozenset(
    {"Add", "AveragePool", "Conv", "ConvTranspose", "Gemm", "GlobalAveragePool", "LSTM", "MatMul"}
)
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
    floating: Path, quantized: Path, reference: Reference, preprocessing: Preprocessing | None
) -> tuple[Layer, ...]:
    """Return the layers that both files have, in order, on the golden samples; 200 at most."""
    float_names = {name for name, _ in _outputs(floating)}
    shared = [(name, kind) for name, kind in _outputs(quantized) if name in float_names]
    shared = [(name, kind) for name, kind in shared if kind in _LAYERS][:MAX_LAYERS]
    if not shared:
        return ()
    names = [name for name, _ in shared]
    samples, count = _golden(reference, preprocessing), len(reference.golden)
    losses = {name: _Loss() for name in names}
    for wanted, got in zip(
        activations(floating, names, samples, count),
        activations(quantized, names, samples, count),
        strict=True,
    ):
        for name, loss in losses.items():
            loss.see(wanted[name], got[name])
    return tuple(losses[name].layer(name, kind) for name, kind in shared)


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


def _outputs(model: Path) -> Iterator[tuple[str, str]]:
    graph = need("onnx").load(model, load_external_data=False).graph
    for node in graph.node:
        for name in node.output[:1]:
            yield str(name), str(node.op_type)


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
