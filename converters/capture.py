"""The first step: traces a source and keeps it as the reference that variants are proven against.

Requires a loaded source. Ensures that the source answered one real sample and, for a module, that
torch could export it whole, without leaving Python code behind.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.extras import need
from converters.quiet import quiet_python
from converters.source import ModuleSource, OnnxSource, Source
from edgekit.errors import RuntimeFailedError, SourceError, TargetError
from edgekit.manifest import ModelFormat, TensorSpec
from edgekit.runtime import Session, Tensor, open_session

_FILE_LINE = re.compile(r'File "([^"]+)", line (\d+)')
_KNOWN_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}
_LIBRARIES = (str(Path(__file__).parent), "/site-packages/", "/dist-packages/", "/lib/python3", "<")


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """A source, traced.

    Attributes:
        source: What was loaded.
        input: The model's only input; batch 1.
        outputs: Names that the outputs get, in order.
        reference: Computes the source's own answers to one prepared input.
        program: What torch exported; None for an ONNX source.
    """

    source: Source
    input: TensorSpec
    outputs: tuple[str, ...]
    reference: Callable[[Tensor], list[Tensor]]
    program: Any


def capture(source: Source, wanted: TensorSpec | None, tensor: Tensor) -> Captured:
    """Trace a source.

    Args:
        source: What was loaded.
        wanted: The model's input; None takes it from an ONNX file.
        tensor: One prepared input.

    Raises:
        SourceError: It cannot be run on the sample, or cannot be captured.
    """
    match source:
        case ModuleSource():
            return _capture_module(source, wanted, tensor)
        case OnnxSource():
            return _capture_onnx(source, wanted, tensor)


def sizes(shape: tuple[int | str, ...]) -> str:
    """Return a shape as people write it: 1x3x224x224."""
    return "x".join(str(size) for size in shape)


def model_line(text: str) -> str:
    """Return "file:line" of the last place outside libraries that a trace in `text` names."""
    own = [(f, n) for f, n in _FILE_LINE.findall(text) if not any(p in f for p in _LIBRARIES)]
    return f"{own[-1][0]}:{own[-1][1]}" if own else ""


def _capture_module(source: ModuleSource, wanted: TensorSpec | None, tensor: Tensor) -> Captured:
    if wanted is None:
        raise SourceError(
            "the shape of its input is unknown",
            where=source.name,
            todo="give --input name=1x3x224x224:float32 or --preprocessing FILE",
        )
    _check_input(tensor, wanted, source.name)
    answers = _forward(source, tensor)
    return Captured(
        source=source,
        input=wanted,
        outputs=_output_names(len(answers)),
        reference=lambda x: _forward(source, x),
        program=_export(source, tensor),
    )


def _forward(source: ModuleSource, tensor: Tensor) -> list[Tensor]:
    torch = need("torch")
    try:
        with torch.inference_mode():
            answer = source.module(torch.from_numpy(tensor))
    except Exception as error:
        trace = "".join(traceback.format_exception(error))
        raise SourceError(
            f"forward fails on an input of {sizes(tensor.shape)} {tensor.dtype.name} "
            f"({str(error).strip().splitlines()[0]})",
            where=model_line(trace) or source.name,
            todo="check --input and the preprocessing",
        ) from error
    outputs = answer if isinstance(answer, tuple | list) else (answer,)
    if not outputs or not all(isinstance(o, torch.Tensor) for o in outputs):
        raise SourceError(
            "forward returns something other than tensors",
            where=source.name,
            todo="return a tensor or a tuple of tensors",
        )
    return [np.array(o.numpy()) for o in outputs]


def _export(source: ModuleSource, tensor: Tensor) -> Any:  # noqa: ANN401 (torch)
    torch = need("torch")
    try:
        with quiet_python(), torch.no_grad():
            return torch.export.export(source.module, (torch.from_numpy(tensor),))
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise SourceError(
            f"torch cannot capture it whole ({reason})",
            where=model_line(str(error)) or source.name,
            todo="write forward without branches or loops that depend on values of tensors",
        ) from error


def _capture_onnx(source: OnnxSource, wanted: TensorSpec | None, tensor: Tensor) -> Captured:
    session = _open(source)
    if len(session.inputs) != 1:
        names = ", ".join(i.name for i in session.inputs)
        raise SourceError(
            f"has {len(session.inputs)} inputs ({names}); models with one are converted",
            where=str(source.path),
        )
    own = session.inputs[0]
    for spec in [own] if wanted is None else [own, wanted]:
        _check_input(tensor, spec, str(source.path))
    return Captured(
        source=source,
        input=TensorSpec(name=own.name, shape=tensor.shape, dtype=own.dtype),
        outputs=tuple(o.name for o in session.outputs),
        reference=lambda x: session.run([x]),
        program=None,
    )


def _open(source: OnnxSource) -> Session:
    _check_operators(source.path)
    try:
        return open_session(Path(source.path), ModelFormat.ONNX)
    except RuntimeFailedError as error:
        raise SourceError(error.what, where=error.where) from error


def _check_operators(path: Path) -> None:
    """Refuse operators of other makers, which need a library beside the runtime."""
    try:
        model = need("onnx").load(path, load_external_data=False)
    except (OSError, ValueError) as error:
        raise SourceError("cannot be read", where=str(path)) from error
    except Exception as error:
        if type(error).__name__ != "DecodeError":
            raise
        raise SourceError("is no ONNX file", where=str(path)) from error
    custom = {f"{n.domain}:{n.op_type}" for n in model.graph.node if n.domain not in _KNOWN_DOMAINS}
    if custom:
        raise TargetError(
            f"no target can express the operator {', '.join(sorted(custom))}", where=str(path)
        )


def _check_input(tensor: Tensor, spec: TensorSpec, where: str) -> None:
    """Compare a prepared sample with an input; named dimensions take any size."""
    same = len(tensor.shape) == len(spec.shape) and all(
        isinstance(size, str) or size == have
        for size, have in zip(spec.shape, tensor.shape, strict=False)
    )
    if not same or tensor.dtype.name != spec.dtype:
        raise SourceError(
            f"takes {spec.name}={sizes(spec.shape)}:{spec.dtype}, "
            f"a prepared sample is {sizes(tensor.shape)}:{tensor.dtype.name}",
            where=where,
            todo="check --input and the preprocessing",
        )


def _output_names(count: int) -> tuple[str, ...]:
    return ("output",) if count == 1 else tuple(f"output_{i}" for i in range(count))
