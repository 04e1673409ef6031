"""Looks between the layers of packed OpenVINO models while they run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from converters.targets.base import Spot
from converters.targets.openvino import library
from edgekit.runtime import Tensor, openvino_file

_BEFORE_BIAS = ("Convolution", "GroupConvolution", "MatMul")


def spots(model: Path) -> Iterator[Spot]:
    """Yield what each operator gives that has a name; NNCF keeps those names."""
    for node in _read(model).get_ordered_ops():
        named = sorted(node.output(0).get_names()) if node.get_output_size() else []
        for name in named[:1]:
            yield Spot(name=str(name), operator=_kind(node), tensor=str(name))


def values(
    model: Path, names: Sequence[str], samples: Iterable[list[Tensor]]
) -> Iterator[dict[str, Tensor]]:
    """Yield the values of tensors for each sample."""
    loaded = _read(model)
    ends = {name for port in loaded.outputs for name in port.get_names()}
    loaded.add_outputs([name for name in names if name not in ends])
    compiled = library().Core().compile_model(loaded, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for tensors in samples:
        answers = compiled(dict(enumerate(tensors)))
        yield {name: np.array(answers[compiled.output(name)]) for name in names}


def _read(model: Path) -> Any:  # noqa: ANN401 (openvino)
    return library().Core().read_model(*openvino_file.read(model))


def _kind(node: Any) -> str:  # noqa: ANN401 (openvino)
    """Return an operator's kind; the addition of a bias is part of the layer before it."""
    kind = str(node.get_type_name())
    before = str(node.input_value(0).get_node().get_type_name()) if kind == "Add" else ""
    return before if before in _BEFORE_BIAS else kind
