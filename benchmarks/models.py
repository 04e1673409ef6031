"""Bundles of random weights in any size, for benchmarks whose question is not accuracy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekit.bundle import Bundle, bundle_name, write_bundle
from edgekit.device import Requirements, RuntimeRange
from edgekit.golden import compute_golden, golden_files
from edgekit.manifest import (
    GoldenSpec,
    Lineage,
    Manifest,
    ModelFormat,
    Precision,
    Preprocessing,
    Quality,
    TensorSpec,
)
from edgekit.runtime import open_session

NAME = "benchmark"
PREPROCESSING = Preprocessing(height=8, width=8, scale=1 / 16)
CLASSES = 10
FILE = "model.onnx"


def random_bundle(folder: Path, channels: int, *, version: str = "1", seed: int = 1) -> Bundle:
    """Write a bundle of two convolutions over 8x8 images; other seeds give other weights."""
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / FILE
    onnx.save(_network(channels, seed), model)
    session = open_session(model, ModelFormat.ONNX)
    golden = compute_golden(session, [np.zeros((8, 8), np.uint8)], PREPROCESSING)
    files = {FILE: model.read_bytes(), **golden_files(golden)}
    manifest = _manifest(version)
    return write_bundle(folder / bundle_name(NAME, version, manifest.variant), manifest, files)


def _network(channels: int, seed: int) -> onnx.ModelProto:
    """Return image [1, 1, 8, 8] -> two convolutions -> scores [1, 10], random weights."""
    rng = np.random.default_rng(seed)
    shapes = {
        "w1": (channels, 1, 3, 3),
        "w2": (channels, channels, 3, 3),
        "w3": (channels * 64, CLASSES),
    }
    weights = [
        numpy_helper.from_array(rng.normal(0, 0.05, shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("MatMul", ["e", "w3"], ["scores"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 8, 8])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, CLASSES])
    graph = helper.make_graph(nodes, "benchmark", [image], [scores], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _manifest(version: str) -> Manifest:
    return Manifest(
        model=NAME,
        version=version,
        variant="onnx-fp32",
        format=ModelFormat.ONNX,
        precision=Precision.FP32,
        file=FILE,
        inputs=(TensorSpec(name="image", shape=(1, 1, 8, 8), dtype="float32"),),
        outputs=(TensorSpec(name="scores", shape=(1, CLASSES), dtype="float32"),),
        requires=Requirements(runtimes=(RuntimeRange(name="onnxruntime"),)),
        golden=GoldenSpec(count=1, atol=1e-3),
        quality=Quality(
            metric="none",
            samples=0,
            accuracy=0.0,
            reference_accuracy=0.0,
            max_abs_diff=0.0,
            sqnr_db=0.0,
            agreement=0.0,
        ),
        lineage=Lineage(source="random weights", digests={}, recipe="fp32", tools={}),
        preprocessing=PREPROCESSING,
    )
