"""Looks between the layers of TFLite files while LiteRT runs them, without a delegate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from converters.extras import need
from converters.targets.base import Spot
from edgekit.runtime import Tensor


def spots(model: Path) -> Iterator[Spot]:
    """Yield what each operator of the first graph gives; quantized files keep the names."""
    flat = need("ai_edge_quantizer.utils.tfl_flatbuffer_utils")
    loaded = flat.read_model(str(model))
    graph = loaded.subgraphs[0]
    for operator in graph.operators:
        code = loaded.operatorCodes[operator.opcodeIndex].builtinCode
        name = flat.get_tensor_name(graph.tensors[operator.outputs[0]])
        known = flat.TFL_OP_CODE_TO_NAME.get(code)
        yield Spot(name=name, operator=known.value if known else str(code), tensor=name)


def values(
    model: Path, names: Sequence[str], samples: Iterable[list[Tensor]]
) -> Iterator[dict[str, Tensor]]:
    """Yield the real values of tensors for each sample."""
    tools = need("ai_edge_quantizer.utils.tfl_interpreter_utils")
    interpreter = tools.create_tfl_interpreter(model.read_bytes(), use_xnnpack=False, num_threads=1)
    details = tools.get_tensor_name_to_details_map(interpreter)
    for tensors in samples:
        tools.invoke_interpreter_once(interpreter, tensors)
        yield {name: tools.get_tensor_data(interpreter, details[name]) for name in names}
