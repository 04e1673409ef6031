"""Tells the number format of a model file that somebody else made, from its weights."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

from converters.extras import need
from edgekit.manifest import ModelFormat, Precision
from edgekit.runtime import openvino_file

_OPENVINO = {"f32": "float32", "f16": "float16", "i8": "int8", "u8": "uint8"}
_ONNX = {1: "float32", 2: "uint8", 3: "int8", 10: "float16", 11: "float32"}


def precision_of(path: Path, model_format: ModelFormat) -> Precision:
    """Return the number format that most of a file's weights are stored in."""
    count = {
        ModelFormat.ONNX: _onnx,
        ModelFormat.TFLITE: _tflite,
        ModelFormat.OPENVINO: _openvino,
    }
    weights = count[model_format](path)
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


def _openvino(path: Path) -> Counter[str]:
    """Count bytes over the size of an element; the topology says where constants lie."""
    sizes: Counter[str] = Counter()
    width = {"float32": 4, "float16": 2}
    for layer in ET.fromstring(openvino_file.read(path)[0]).iter("layer"):  # noqa: S314 (opened)
        data = layer.find("data")
        kind = _OPENVINO.get(data.get("element_type", "")) if data is not None else None
        if layer.get("type") == "Const" and data is not None and kind:
            sizes[kind] += int(data.get("size", "0")) // width.get(kind, 1)
    return sizes
