"""Tells the number format of a model file that somebody else made, from its weights."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from converters.extras import need
from edgekit.manifest import ModelFormat, Precision

_ONNX = {1: "float32", 2: "uint8", 3: "int8", 10: "float16", 11: "float32"}


def precision_of(path: Path, model_format: ModelFormat) -> Precision:
    """Return the number format that most of a file's weights are stored in."""
    weights = _onnx(path) if model_format is ModelFormat.ONNX else _tflite(path)
    kind = max(sorted(weights), key=lambda k: weights[k], default="float32")
    match kind:
        case "int8" | "uint8":
            return Precision.INT8
        case "float16":
            return Precision.FP16
        case _:
            return Precision.FP32


def _onnx(path: Path) -> Counter[str]:
    model = need("onnx").load(path, load_external_data=False)
    sizes: Counter[str] = Counter()
    for tensor in model.graph.initializer:
        count = 1
        for size in tensor.dims:
            count *= int(size)
        if tensor.data_type in _ONNX:
            sizes[_ONNX[tensor.data_type]] += count
    return sizes


def _tflite(path: Path) -> Counter[str]:
    module = need("ai_edge_litert.interpreter")
    interpreter = module.Interpreter(model_path=str(path))
    sizes: Counter[str] = Counter()
    for detail in interpreter.get_tensor_details():
        kind = detail["dtype"].__name__
        if kind in {"float32", "float16", "int8", "uint8"} and detail["shape"].size > 1:
            sizes[kind] += int(detail["shape"].prod())
    return sizes
