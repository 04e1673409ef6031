"""What an int8 ONNX file answers on a processor without VNNI: simulated, layer by layer.

There VPMADDUBSW adds two products of an unsigned activation and a signed weight in 16 bits and cuts
what does not fit; then sums are of 32 bits. Pairs are neighbours of the reduction, channels
innermost, as ONNX Runtime lays them out for x86. Layers whose weights cannot overflow in pairs
(255 * (w1 + w2) within 16 bits) are exact and not simulated; depthwise convolutions are multiplied
in 16 bits each and never saturate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.extras import need
from edgekit.runtime import Tensor

_LOW, _HIGH = -32768, 32767
_UNSIGNED = 255
_DELTA = "delta:"
_MATRIX = ("Gemm", "MatMul")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """A product of unsigned activations and signed weights that may saturate.

    Attributes:
        name: Of its output.
        given: Name of its quantized input.
        zero_point: Of that input.
        scale: Of one unit of the 32-bit sum, [outputs].
        weight: [outputs, K], the reduction laid out with channels innermost.
        kernel: Sizes of a convolution's kernel; empty for a matrix product.
        options: Pads, strides and dilations of a convolution.
        padding: Its automatic padding, such as "SAME_UPPER"; empty without.
    """

    name: str
    given: str
    zero_point: int
    scale: Tensor
    weight: Tensor
    kernel: tuple[int, ...]
    options: dict[str, list[int]]
    padding: str

    @property
    def delta(self) -> str:
        """Name of the input that corrects it."""
        return f"{_DELTA}{self.name}"


def saturating_answers(model: Path, inputs: Sequence[list[Tensor]]) -> list[list[Tensor]] | None:
    """Return the answers to inputs, one tensor a model input; None if nothing can saturate.

    Args:
        model: Quantized with QDQ nodes.
        inputs: What the model is asked.
    """
    onnx = need("onnx")
    loaded = onnx.load(model)
    layers = _layers(loaded)
    if not layers:
        return None
    outputs = [value.name for value in loaded.graph.output]
    session = _with_corrections(loaded, layers)
    names = [i.name for i in session.get_inputs() if not i.name.startswith(_DELTA)]
    return [_answer(session, layers, dict(zip(names, x, strict=True)), outputs) for x in inputs]


def _answer(
    session: Any,  # noqa: ANN401 (onnxruntime)
    layers: Sequence[_Layer],
    feed: dict[str, Tensor],
    outputs: Sequence[str],
) -> list[Tensor]:
    """Correct one layer after the other, each seeing what the ones before it got wrong."""
    feed |= {layer.delta: np.zeros((), np.float32) for layer in layers}
    for layer in layers:
        (given,) = session.run([layer.given], feed)
        feed[layer.delta] = _error(layer, given)
    answers: list[Tensor] = session.run(list(outputs), feed)
    return answers


def _error(layer: _Layer, given: Tensor) -> Tensor:
    """Return what saturation adds to the output of a layer, in its own shape."""
    columns, shape = _columns(layer, given)
    wrong = np.zeros((len(layer.weight), columns.shape[1]), np.float32)
    first, second = columns[0::2].astype(np.int32), columns[1::2].astype(np.int32)
    for index, row in enumerate(layer.weight.astype(np.int32)):
        one, two = row[0::2], row[1::2]
        risky = _may_overflow(one, two)
        if risky.any():
            pairs = one[risky, None] * first[risky] + two[risky, None] * second[risky]
            wrong[index] = (np.clip(pairs, _LOW, _HIGH) - pairs).sum(axis=0)
    return _shaped(layer, wrong * layer.scale[:, None].astype(np.float32), shape)


def _may_overflow(one: Tensor, two: Tensor) -> Tensor:
    up = np.maximum(one, 0) + np.maximum(two, 0)
    down = np.minimum(one, 0) + np.minimum(two, 0)
    risky: Tensor = (_UNSIGNED * up > _HIGH) | (_UNSIGNED * down < _LOW)
    return risky


def _columns(layer: _Layer, given: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Return the activations of each output position, [K, positions], and the positions' shape."""
    if not layer.kernel:
        rows = given.reshape(-1, given.shape[-1])
        return _even(rows.T), given.shape[:-1]
    strides = layer.options.get("strides", [1, 1])
    steps = layer.options.get("dilations", [1, 1])
    spans = [(k - 1) * d + 1 for k, d in zip(layer.kernel, steps, strict=True)]
    pads = layer.options.get("pads") or _automatic(layer.padding, given.shape[2:], spans, strides)
    image = np.pad(
        given[0],
        ((0, 0), (pads[0], pads[2]), (pads[1], pads[3])),
        constant_values=layer.zero_point,
    )
    windows = np.lib.stride_tricks.sliding_window_view(image, spans, axis=(1, 2))
    windows = windows[:, :: strides[0], :: strides[1], :: steps[0], :: steps[1]]
    _, height, width, _, _ = windows.shape
    laid_out = windows.transpose(3, 4, 0, 1, 2).reshape(-1, height * width)
    return _even(laid_out), (height, width)


def _automatic(
    padding: str, sizes: Sequence[int], spans: Sequence[int], strides: Sequence[int]
) -> list[int]:
    """Return pads [top, left, bottom, right] of ONNX's auto_pad."""
    if not padding.startswith("SAME"):
        return [0, 0, 0, 0]
    totals = [
        max(0, (-(-size // stride) - 1) * stride + span - size)
        for size, span, stride in zip(sizes, spans, strides, strict=True)
    ]
    small = [total // 2 for total in totals]
    large = [total - half for total, half in zip(totals, small, strict=True)]
    return [*large, *small] if padding == "SAME_LOWER" else [*small, *large]


def _shaped(layer: _Layer, wrong: Tensor, shape: tuple[int, ...]) -> Tensor:
    if layer.kernel:
        return wrong.reshape(1, -1, *shape)
    return wrong.T.reshape(*shape, -1)


def _even(columns: Tensor) -> Tensor:
    return columns if len(columns) % 2 == 0 else np.pad(columns, ((0, 1), (0, 0)))


def _layers(model: Any) -> list[_Layer]:  # noqa: ANN401 (onnx)
    """Return the layers that may saturate, in the order in which they run."""
    made = {name: node for node in model.graph.node for name in node.output}
    stored = {t.name: t for t in model.graph.initializer}
    found = [_layer(node, made, stored) for node in model.graph.node]
    return [layer for layer in found if layer is not None]


def _layer(node: Any, made: dict[str, Any], stored: dict[str, Any]) -> _Layer | None:  # noqa: ANN401 (onnx)
    to_array = need("onnx.numpy_helper").to_array
    if node.op_type not in {"Conv", *_MATRIX}:
        return None
    sides = [made[name] for name in node.input[:2] if name in made]
    if len(sides) < 2 or not all(_scaled(side, stored) for side in sides):
        return None
    x, w = sides
    zero_point = to_array(stored[x.input[2]])
    if w.input[0] not in stored or x.input[0] not in made or zero_point.dtype != np.uint8:
        return None
    weight = _laid_out(node, to_array(stored[w.input[0]]))
    if weight is None or not _may_overflow(weight[:, 0::2], weight[:, 1::2]).any():
        return None
    scale = float(to_array(stored[x.input[1]]).item()) * to_array(stored[w.input[1]])
    return _Layer(
        name=node.output[0],
        given=x.input[0],
        zero_point=int(zero_point.item()),
        scale=np.broadcast_to(scale.reshape(-1), len(weight)),
        weight=weight,
        kernel=tuple(to_array(stored[w.input[0]]).shape[2:]) if node.op_type == "Conv" else (),
        options={a.name: list(a.ints) for a in node.attribute if a.ints},
        padding=next((a.s.decode() for a in node.attribute if a.name == "auto_pad"), ""),
    )


def _scaled(node: Any, stored: dict[str, Any]) -> bool:  # noqa: ANN401 (onnx)
    """Say whether a node turns integers to real values by constants."""
    constants = node.op_type == "DequantizeLinear" and len(node.input) > 2
    return constants and all(name in stored for name in node.input[1:3])


def _laid_out(node: Any, weight: Tensor) -> Tensor | None:  # noqa: ANN401 (onnx)
    """Return signed weights as [outputs, K even]; None where nothing saturates."""
    if weight.dtype != np.int8:
        return None
    attributes = {a.name: a.i for a in node.attribute}
    if node.op_type == "Conv":
        if attributes.get("group", 1) != 1 or weight.ndim != 4:
            return None
        rows = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1)
    elif weight.ndim != 2 or attributes.get("transA", 0):
        return None
    else:
        rows = weight if attributes.get("transB", 0) else weight.T
    return np.pad(rows.astype(np.int32), ((0, 0), (0, rows.shape[1] % 2)))


def _with_corrections(model: Any, layers: Sequence[_Layer]) -> Any:  # noqa: ANN401 (onnx)
    """Return a session of the model with one more input a layer, added to what the layer gives."""
    onnx, ort = need("onnx"), need("onnxruntime")
    helper, kinds = onnx.helper, onnx.TensorProto
    corrections = {layer.name: layer for layer in layers}
    nodes = []
    for original in model.graph.node:
        node = onnx.NodeProto.FromString(original.SerializeToString())
        nodes.append(node)
        layer = corrections.get(node.output[0])
        if layer is not None:
            exact = f"exact:{layer.name}"
            node.output[0] = exact
            nodes.append(helper.make_node("Add", [exact, layer.delta], [layer.name]))
            model.graph.input.append(helper.make_tensor_value_info(layer.delta, kinds.FLOAT, None))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    ends = {value.name for value in model.graph.output}
    for name in dict.fromkeys(layer.given for layer in layers if layer.given not in ends):
        model.graph.output.append(helper.make_empty_tensor_value_info(name))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
