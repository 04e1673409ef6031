"""Looks into ONNX files while they run: activations, mean inputs, costs of layers.

One sample's activations are in memory at a time, whatever the number of samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from converters.evaluate import sqnr_db
from converters.extras import need
from converters.quantize import Calibration
from converters.targets.base import Spot
from edgekit.runtime import Tensor

MAX_OBSERVED = 128
_MAX_RANKED = 16
_WEIGHTED = ("Conv", "Gemm")
_STORES = ("QuantizeLinear", "DequantizeLinear")


def input_names(model: Path) -> list[str]:
    """Return the inputs that are no weights: old files list those among the inputs."""
    graph = need("onnx").load(model, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    return [str(value.name) for value in graph.input if value.name not in weights]


def activations(
    model: Path, names: Sequence[str], calibration: Calibration, count: int
) -> Iterator[dict[str, Tensor]]:
    """Yield the values of tensors for up to `count` samples, evenly chosen."""
    step = max(1, len(calibration.samples) // count)
    return values(model, names, islice(calibration.tensors(), 0, step * count, step))


def values(
    model: Path, names: Sequence[str], samples: Iterable[list[Tensor]]
) -> Iterator[dict[str, Tensor]]:
    """Yield the values of tensors, inputs among them, for each sample."""
    onnx, ort = need("onnx"), need("onnxruntime")
    loaded = onnx.load(model)
    ends = {value.name for value in loaded.graph.output}
    inputs = input_names(model)
    made = {name for node in loaded.graph.node for name in node.output}
    asked = [name for name in names if name in made]
    for name in asked:
        if name not in ends:
            loaded.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(
        loaded.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    for tensors in samples:
        feed = dict(zip(inputs, tensors, strict=True))
        answers = dict(zip(asked, session.run(asked, feed), strict=True)) if asked else {}
        yield {**{n: t for n, t in feed.items() if n in names}, **answers}


def spots(model: Path) -> Iterator[Spot]:
    """Yield what each operator gives; where it is stored in 8 bits, what is left of it then.

    A quantized file has no ReLU after a layer: storing what comes out cuts it off at zero.
    """
    graph = need("onnx").load(model, load_external_data=False).graph
    stored = {node.input[0]: node.output[0] for node in graph.node if node.op_type in _STORES}
    for node in graph.node:
        for name in node.output[:1]:
            left = stored.get(stored.get(name, ""), name)
            yield Spot(name=str(name), operator=str(node.op_type), tensor=str(left))


def correct_biases(model: Path, quantized: Any, calibration: Calibration) -> None:  # noqa: ANN401 (onnx)
    """Change the biases of a float file to make up for the mean error of rounded weights.

    A layer's outputs shift by sum((W_q - W) * E[x]) over its inputs; borders are ignored.

    Source: Nagel et al. 2019, Data-free quantization, section 4.2.
    """
    onnx = need("onnx")
    numpy_helper = need("onnx.numpy_helper")
    loaded = onnx.load(model)
    weights = {t.name: t for t in loaded.graph.initializer}
    rounded = _rounded_weights(quantized)
    layers = [
        node
        for node in loaded.graph.node
        if node.op_type in _WEIGHTED
        and len(node.input) > 2
        and node.input[1] in rounded
        and node.input[2] in weights
    ]
    means = _mean_inputs(model, [node.input[0] for node in layers], calibration)
    for node in layers:
        weight = numpy_helper.to_array(weights[node.input[1]])
        bias = numpy_helper.to_array(weights[node.input[2]])
        shift = _shift(node, rounded[node.input[1]] - weight, means[node.input[0]])
        if shift is not None and shift.shape == bias.shape:
            weights[node.input[2]].CopyFrom(
                numpy_helper.from_array((bias - shift).astype(bias.dtype), node.input[2])
            )
    onnx.save(loaded, model)


def rank_layers(
    model: Path,
    layers: Sequence[str],
    quantize_alone: Callable[[str], Path],
    calibration: Calibration,
) -> list[str]:
    """Return layers, the one whose quantization alone costs the outputs most first."""
    outputs = [str(value.name) for value in need("onnx").load(model).graph.output]
    wanted = _answers(model, outputs, calibration)
    cost = {
        layer: sqnr_db(wanted, _answers(quantize_alone(layer), outputs, calibration))
        for layer in layers
    }
    return sorted(layers, key=lambda layer: (cost[layer], layer))


def _answers(model: Path, outputs: Sequence[str], calibration: Calibration) -> Tensor:
    rows = activations(model, outputs, calibration, _MAX_RANKED)
    return np.concatenate([row[name].ravel() for row in rows for name in outputs])


def _rounded_weights(quantized: Any) -> dict[str, Tensor]:  # noqa: ANN401 (onnx)
    """Return what the weights of a quantized file stand for, by the float weight's name."""
    to_array = need("onnx.numpy_helper").to_array
    there = {t.name: t for t in quantized.graph.initializer}
    found = {}
    for name, tensor in there.items():
        weight = name.removesuffix("_quantized")
        scale = there.get(f"{weight}_scale")
        if weight == name or scale is None:
            continue
        whole, step = to_array(tensor).astype(np.float64), to_array(scale).astype(np.float64)
        axes = (-1,) + (1,) * (whole.ndim - 1)
        found[weight] = whole * (step.reshape(axes) if step.size > 1 else step)
    return found


def _mean_inputs(model: Path, names: Sequence[str], calibration: Calibration) -> dict[str, Tensor]:
    """Return the mean of each channel (axis 1) of tensors over samples."""
    sums: dict[str, Tensor] = {}
    count = 0
    for values in activations(model, sorted(set(names)), calibration, MAX_OBSERVED):
        count += 1
        for name, value in values.items():
            rest = tuple(axis for axis in range(value.ndim) if axis != 1)
            mean = value.astype(np.float64).mean(axis=rest)
            sums[name] = sums[name] + mean if name in sums else mean
    return {name: total / count for name, total in sums.items()}


def _shift(node: Any, error: Tensor, mean: Tensor) -> Tensor | None:  # noqa: ANN401 (onnx)
    """Return how far an error of the weights moves each output channel on average."""
    if node.op_type == "Gemm":
        transposed = any(a.name == "transB" and a.i for a in node.attribute)
        rows = error if transposed else error.T
        return rows @ mean if rows.shape[1] == mean.size else None
    per_input = error.reshape(error.shape[0], error.shape[1], -1).sum(axis=2)
    groups = mean.size // per_input.shape[1]
    each = per_input.shape[0] // max(groups, 1)
    if groups * per_input.shape[1] != mean.size or each * groups != per_input.shape[0]:
        return None
    inputs = mean.reshape(groups, -1).repeat(each, axis=0)
    shift: Tensor = (per_input * inputs).sum(axis=1)
    return shift
