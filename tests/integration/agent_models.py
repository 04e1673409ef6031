"""Tiny real ONNX bundles for tests of the agent: good ones, and ones that are bad in real ways.

Every model takes a 2x2 grey image and scores three classes. Golden samples are dark images; what
a bad model does, it does on bright ones, so that it passes the self-test and fails in service.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgekit.bundle import Bundle, bundle_name, write_bundle
from edgekit.device import Requirements, RuntimeRange
from edgekit.drift import REFERENCE
from edgekit.golden import compute_golden, golden_files
from edgekit.manifest import (
    GoldenSpec,
    ModelFormat,
    Preprocessing,
    TensorSpec,
)
from edgekit.runtime import open_session
from edgekit.runtime.base import Tensor
from tests.manifests import PLAIN

LABELS = ("dark", "left", "right")
DARK = np.array([[1, 2], [3, 4]], np.uint8)
BRIGHT = np.array([[200, 40], [220, 60]], np.uint8)
FOREVER, A_WHILE = 1e12, 3e5
"""Turns of a loop: years, and some hundred milliseconds."""


def model_bytes(
    *,
    shift: float = 0.0,
    nan: bool = False,
    turns: float = 0.0,
    swapped: bool = False,
    grow_mb: float = 0.0,
) -> bytes:
    """Return a model.

    Args:
        shift: Added to the scores; tells versions apart.
        nan: Answer NaN on bright images.
        turns: Turn a loop that often on bright images.
        grow_mb: Take that much memory on bright images, which the runtime keeps for later.
        swapped: Say "left" for "right", and the other way round.
    """
    weights = np.array([[0.0, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1]], np.float32)
    if swapped:
        weights = weights[:, [0, 2, 1]]
    bias = np.array([0.5 + shift, shift, shift], np.float32)
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["sum"]),
    ]
    initializers = [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(bias, "b"),
        numpy_helper.from_array(np.array(1.0, np.float32), "one"),
        numpy_helper.from_array(np.array(0.0, np.float32), "zero"),
        numpy_helper.from_array(np.array(turns, np.float32), "turns"),
        numpy_helper.from_array(np.array(True), "true"),
    ]
    last = "sum"
    nodes.append(helper.make_node("ReduceSum", ["flat"], ["light"], keepdims=0))
    if nan:
        nodes += [
            helper.make_node("Sub", ["one", "light"], ["rest"]),
            helper.make_node("Sqrt", ["rest"], ["root"]),
            helper.make_node("Mul", ["root", "zero"], ["nothing"]),
            helper.make_node("Add", [last, "nothing"], ["with_nan"]),
        ]
        last = "with_nan"
    if turns:
        nodes += _loop(last)
        last = "looped"
    if grow_mb:
        cells = np.array(grow_mb * (1 << 18), np.float32)
        initializers.append(numpy_helper.from_array(cells, "cells"))
        initializers.append(numpy_helper.from_array(np.array([0], np.int64), "axis"))
        nodes += _growth(last)
        last = "grown"
    nodes.append(helper.make_node("Identity", [last], ["scores"]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 2, 2])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def _growth(value: str) -> list[Any]:
    """Fill a tensor as long as `cells` on bright images; its sum is zero."""
    return [
        helper.make_node("Greater", ["light", "one"], ["shines"]),
        helper.make_node("Cast", ["shines"], ["shines_f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["shines_f", "cells"], ["size_f"]),
        helper.make_node("Cast", ["size_f"], ["size"], to=TensorProto.INT64),
        helper.make_node("Unsqueeze", ["size", "axis"], ["sizes"]),
        helper.make_node("ConstantOfShape", ["sizes"], ["filled"]),
        helper.make_node("ReduceSum", ["filled"], ["nought"], keepdims=0),
        helper.make_node("Add", [value, "nought"], ["grown"]),
    ]


def _loop(value: str) -> list[Any]:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["v", "zero"], ["v_next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, [1, 3]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v_next", TensorProto.FLOAT, [1, 3]),
        ],
    )
    return [
        helper.make_node("Greater", ["light", "one"], ["bright"]),
        helper.make_node("Cast", ["bright"], ["bright_f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["bright_f", "turns"], ["count_f"]),
        helper.make_node("Cast", ["count_f"], ["count"], to=TensorProto.INT64),
        helper.make_node("Loop", ["count", "true", value], ["looped"], body=body),
    ]


def make_bundle(
    folder: Path,
    version: str,
    *,
    model: str = "digits",
    variant: str = "onnx-fp32",
    wrong_golden: bool = False,
    runtime: str = "onnxruntime",
    garbage: bool = False,
    drift: bytes = b"",
    **kind: Any,
) -> Bundle:
    """Write a bundle into `folder`; `kind` goes to `model_bytes`."""
    folder.mkdir(parents=True, exist_ok=True)
    data = model_bytes(**kind)
    file = folder / f"{version}.onnx"
    file.write_bytes(data)
    session = open_session(file, ModelFormat.ONNX)
    preprocessing = Preprocessing(height=2, width=2, scale=1 / 255)
    samples: list[Tensor] = [DARK, DARK + 1, DARK.T.copy()]
    golden = golden_files(compute_golden(session, samples, preprocessing))
    if wrong_golden:
        wrong = compute_golden(session, [DARK + 9, DARK, DARK], preprocessing)
        golden["golden/output.0.npy"] = golden_files(wrong)["golden/output.0.npy"]
    manifest = replace(
        PLAIN,
        model=model,
        version=version,
        variant=variant,
        inputs=(TensorSpec(name="x", shape=(1, 1, 2, 2), dtype="float32"),),
        outputs=(TensorSpec(name="scores", shape=(1, 3), dtype="float32"),),
        preprocessing=preprocessing,
        labels=LABELS,
        requires=Requirements(runtimes=(RuntimeRange(name=runtime),)),
        golden=GoldenSpec(count=3, atol=1e-4),
    )
    content = b"no model" if garbage else data
    path = folder / bundle_name(model, version, variant)
    files = {"model.onnx": content, **golden, **({REFERENCE: drift} if drift else {})}
    return write_bundle(path, manifest, files)
