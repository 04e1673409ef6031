"""Cross-layer equalisation of a float ONNX file: scales move from a layer to the one that follows.

Between two layers with nothing but ReLU and pooling, dividing an output channel of the first by s
and multiplying the matching inputs of the second by s changes no answer. Chosen well, no channel is
so much larger than others that they vanish in its rounding.

Source: Nagel et al. 2019, Data-free quantization, section 4.1: s = sqrt(r1 / r2), ranges of the
first layer's output channel and of the second's input channel.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.extras import need
from edgekit.runtime import Tensor

_PASSED = {"Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool"}
_SPREAD = {"Flatten", "Reshape"}
_ROUNDS = 20
_MOST = 1e8


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two layers, the second fed by the first alone."""

    first: Any
    second: Any


def equalize(model: Path) -> bool:
    """Equalise a float file in place; say whether it holds anything to equalise."""
    onnx, numpy_helper = need("onnx"), need("onnx.numpy_helper")
    loaded = onnx.load(model)
    stored = {t.name: t for t in loaded.graph.initializer}
    pairs = _pairs(loaded.graph, set(stored))
    weights = {
        name: numpy_helper.to_array(stored[name]).astype(np.float64)
        for pair in pairs
        for node in (pair.first, pair.second)
        for name in node.input[1:3]
    }
    for _ in range(_ROUNDS):
        moved = [_move(pair, weights) for pair in pairs]
        if not any(moved):
            break
    for name, values in weights.items():
        stored[name].CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))
    onnx.save(loaded, model)
    return bool(pairs)


def _pairs(graph: Any, weights: set[str]) -> list[_Pair]:  # noqa: ANN401 (onnx)
    """Return pairs of layers whose weights belong to them alone."""
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    ends = {value.name for value in graph.output}
    rows = {v.name for v in graph.value_info if _is_one_row(v)}
    uses = Counter(name for node in graph.node for name in node.input)

    def own(node: Any) -> bool:  # noqa: ANN401 (onnx)
        return all(name in weights and uses[name] == 1 for name in node.input[1:3])

    found = []
    for node in graph.node:
        if node.op_type == "Conv" and own(node):
            second = _follower(node, readers, ends, rows)
            if second is not None and own(second):
                found.append(_Pair(node, second))
    return found


def _is_one_row(value: Any) -> bool:  # noqa: ANN401 (onnx)
    sizes = value.type.tensor_type.shape.dim
    return len(sizes) == 2 and sizes[0].dim_value == 1


def _follower(
    node: Any,  # noqa: ANN401 (onnx)
    readers: dict[str, list[Any]],
    ends: set[str],
    rows: set[str],
) -> Any:  # noqa: ANN401 (onnx)
    """Return the layer that alone reads what a layer gives, past ReLU and pooling; else None.

    Flattened to one row, the values of a channel stay neighbours.
    """
    flat = False
    while True:
        name = node.output[0]
        following = readers.get(name, [])
        if name in ends or len(following) != 1:
            return None
        node = following[0]
        if node.op_type == ("Gemm" if flat else "Conv"):
            return node if node.input[0] == name and _plain(node) else None
        flat = flat or (node.op_type in _SPREAD and node.output[0] in rows)
        if not flat and node.op_type not in _PASSED:
            return None
        if flat and node.op_type not in _SPREAD | {"Relu"}:
            return None


def _plain(node: Any) -> bool:  # noqa: ANN401 (onnx)
    """Say whether a product multiplies x as it is; of Gemm: with the weights transposed."""
    if node.op_type == "Conv":
        return True
    attributes = {a.name: a for a in node.attribute}
    swapped = "transB" in attributes and attributes["transB"].i == 1
    return swapped and not ("transA" in attributes and attributes["transA"].i)


def _move(pair: _Pair, weights: dict[str, Tensor]) -> bool:
    """Move scales between two layers; say whether any moved by more than a hundredth."""
    one, two = weights[pair.first.input[1]], weights[pair.second.input[1]]
    channels = one.shape[0]
    second = _by_input(two, channels, _groups(pair.second))
    if second is None:
        return False
    rest = tuple(range(1, one.ndim))
    r1, r2 = np.abs(one).max(axis=rest), np.abs(second).max(axis=1)
    good = (r1 > 0) & (r2 > 0)
    scale = np.where(good, np.sqrt(np.where(good, r1, 1.0) / np.where(good, r2, 1.0)), 1.0)
    scale = np.clip(scale, 1 / _MOST, _MOST)
    one /= scale.reshape(-1, *(1,) * len(rest))
    if len(pair.first.input) > 2:
        weights[pair.first.input[2]] /= scale
    second *= scale[:, np.newaxis]
    _put_back(two, second, _groups(pair.second))
    return bool(np.abs(np.log(scale)).max() > 0.01)


def _groups(node: Any) -> int:  # noqa: ANN401 (onnx)
    return next((int(a.i) for a in node.attribute if a.name == "group"), 1)


def _by_input(weight: Tensor, channels: int, groups: int) -> Tensor | None:
    """Return a copy [channels, values]: the weights that multiply each channel of the input."""
    if groups > 1:
        if groups != channels or weight.shape[1] != 1:
            return None
        return weight.reshape(channels, -1).copy()
    if weight.shape[1] % channels:
        return None
    grouped = weight.reshape(weight.shape[0], channels, -1)
    return np.moveaxis(grouped, 1, 0).reshape(channels, -1).copy()


def _put_back(weight: Tensor, rows: Tensor, groups: int) -> None:
    """Write rows of `_by_input` back to where they came from."""
    if groups > 1:
        weight[:] = rows.reshape(weight.shape)
        return
    grouped = rows.reshape(rows.shape[0], weight.shape[0], -1)
    weight[:] = np.moveaxis(grouped, 0, 1).reshape(weight.shape)
