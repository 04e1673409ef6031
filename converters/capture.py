"""The first step: traces a source and keeps it as the reference that variants are proven against.

Requires a loaded source. Ensures that the source answered one real sample and, for a module, that
torch could export it whole, without leaving Python code behind.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converters.evaluate import Run
from converters.extras import need
from converters.quiet import quiet_python
from converters.source import ModuleSource, OnnxSource, Source
from converters.threads import one_thread
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
        inputs: The model's inputs, in order; a named size may vary.
        outputs: Names that the outputs get, in order.
        reference: Computes the source's own answers to prepared inputs.
        program: What torch exported; None for an ONNX source.
        dynamic: Smallest and largest size of each named dimension.
    """

    source: Source
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    reference: Run
    program: Any
    dynamic: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def capture(
    source: Source,
    wanted: tuple[TensorSpec, ...],
    tensors: Sequence[Tensor],
    *,
    dynamic: Mapping[str, tuple[int, int]],
) -> Captured:
    """Trace a source.

    Args:
        source: What was loaded.
        wanted: The model's inputs; an ONNX file and an exported program know their own.
        tensors: One prepared sample, a tensor for each input.
        dynamic: Smallest and largest size of each named dimension.

    Raises:
        SourceError: It cannot be run on the sample, or cannot be captured.
    """
    match source:
        case ModuleSource():
            return _capture_module(source, wanted, tensors, dynamic)
        case OnnxSource():
            return _capture_onnx(source, wanted, tensors)


def known_inputs(
    source: Source, wanted: tuple[TensorSpec, ...], *, named: tuple[TensorSpec, ...] = ()
) -> tuple[TensorSpec, ...]:
    """Return the inputs of a source: those of the file, or as the engineer says.

    Args:
        source: What was loaded.
        wanted: Its inputs, where it does not know them.
        named: Those that the engineer named; a file must have them.

    Raises:
        SourceError: They are not known, or the file has others.
    """
    own = _open(source).inputs if isinstance(source, OnnxSource) else source.inputs
    names = [spec.name for spec in own]
    unknown = [spec.name for spec in named if own and spec.name not in names]
    if unknown:
        raise SourceError(
            f"has no input {', '.join(unknown)}",
            where=source.name,
            todo=f"its inputs are {', '.join(names)}",
        )
    if own or wanted:
        return own or wanted
    raise SourceError(
        "the shape of its input is unknown",
        where=source.name,
        todo="give --input name=1x3x224x224:float32 or --preprocessing FILE",
    )


def sizes(shape: tuple[int | str, ...]) -> str:
    """Return a shape as people write it: 1x3x224x224; a scalar has none."""
    return "x".join(str(size) for size in shape) or "scalar"


def model_line(text: str) -> str:
    """Return "file:line" of the last place outside libraries that a trace in `text` names."""
    own = [(f, n) for f, n in _FILE_LINE.findall(text) if not any(p in f for p in _LIBRARIES)]
    return f"{own[-1][0]}:{own[-1][1]}" if own else ""


def _capture_module(
    source: ModuleSource,
    wanted: tuple[TensorSpec, ...],
    tensors: Sequence[Tensor],
    dynamic: Mapping[str, tuple[int, int]],
) -> Captured:
    _check_inputs(tensors, wanted, source.name)
    answers = _forward(source, tensors)
    return Captured(
        source=source,
        inputs=wanted,
        outputs=_output_names(len(answers)),
        reference=lambda x: _forward(source, x),
        program=source.program or _export(source, wanted, tensors, dynamic),
        dynamic=dynamic,
    )


def trace(source: ModuleSource, inputs: tuple[TensorSpec, ...]) -> Any:  # noqa: ANN401 (torch)
    """Return what torch exports of a module, without a real sample: its inputs are zeros.

    Raises:
        SourceError: torch cannot capture it whole.
    """
    zeros = [
        np.zeros([size if isinstance(size, int) else 2 for size in spec.shape], spec.dtype)
        for spec in inputs
    ]
    _forward(source, zeros)
    return _export(source, inputs, zeros, {})


def _forward(source: ModuleSource, tensors: Sequence[Tensor]) -> list[Tensor]:
    torch = need("torch")
    try:
        with torch.inference_mode(), one_thread():
            answer = source.module(*(torch.from_numpy(np.array(tensor)) for tensor in tensors))
    except Exception as error:
        trace = "".join(traceback.format_exception(error))
        given = ", ".join(f"{sizes(t.shape)} {t.dtype.name}" for t in tensors)
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise SourceError(
            f"forward fails on an input of {given} ({reason})",
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


def _export(
    source: ModuleSource,
    wanted: tuple[TensorSpec, ...],
    tensors: Sequence[Tensor],
    dynamic: Mapping[str, tuple[int, int]],
) -> Any:  # noqa: ANN401 (torch)
    torch = need("torch")
    dims = {n: torch.export.Dim(n, min=low, max=high) for n, (low, high) in dynamic.items()}
    shapes = tuple(
        {axis: dims[size] for axis, size in enumerate(spec.shape) if isinstance(size, str)}
        for spec in wanted
    )
    # A size of 1 would be taken for a constant.
    tracing = [
        stretched([t], spec, {n: max(2, low) for n, (low, _) in dynamic.items()})
        for t, spec in zip(tensors, wanted, strict=True)
    ]
    given = tuple(torch.from_numpy(np.array(tensor)) for tensor in tracing)
    try:
        with quiet_python(), torch.no_grad():
            return torch.export.export(
                source.module, given, dynamic_shapes=shapes if dims else None
            )
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        trace = "".join(traceback.format_exception(error))
        advice = "write forward without branches or loops that depend on values of tensors"
        fixed = f", and without fixed sizes where {', '.join(dims)} may vary" if dims else ""
        raise SourceError(
            f"torch cannot capture it whole ({reason})",
            where=model_line(str(error)) or model_line(trace) or source.name,
            todo=f"{advice}{fixed}",
        ) from error


def stretched(rows: Sequence[Tensor], spec: TensorSpec, wanted: Mapping[str, int]) -> Tensor:
    """Return one input with its named axes filled to other sizes, going round the given rows."""
    tensor = rows[0]
    for axis, size in enumerate(spec.shape):
        if isinstance(size, str) and size in wanted:
            source = np.concatenate(rows, axis=axis) if len(rows) > 1 else tensor
            tensor = np.take(source, np.arange(wanted[size]) % source.shape[axis], axis=axis)
            rows = [tensor]
    return np.ascontiguousarray(tensor) if tensor.ndim else tensor


def _capture_onnx(
    source: OnnxSource, wanted: tuple[TensorSpec, ...], tensors: Sequence[Tensor]
) -> Captured:
    session = _open(source)
    for specs in [session.inputs, wanted] if wanted else [session.inputs]:
        _check_inputs(tensors, specs, str(source.path))
    return Captured(
        source=source,
        inputs=tuple(
            TensorSpec(name=own.name, shape=tensor.shape, dtype=own.dtype)
            for own, tensor in zip(session.inputs, tensors, strict=True)
        ),
        outputs=tuple(o.name for o in session.outputs),
        reference=session.run,
        program=None,
    )


def _open(source: OnnxSource) -> Session:
    check_operators(source.path)
    try:
        return open_session(Path(source.path), ModelFormat.ONNX)
    except RuntimeFailedError as error:
        raise SourceError(error.what, where=error.where) from error


def check_operators(path: Path) -> None:
    """Refuse an ONNX file that is none, or with operators that need a library beside the runtime.

    Raises:
        SourceError: It is no ONNX file.
        TargetError: It has operators of other makers; the message names them.
    """
    try:
        model = need("onnx").load(path, load_external_data=False)
    except (OSError, ValueError) as error:
        raise SourceError("cannot be read", where=str(path)) from error
    except Exception as error:
        if type(error).__name__ != "DecodeError":
            raise
        raise SourceError("is no ONNX file", where=str(path)) from error
    own = {function.domain for function in model.functions}
    custom = {
        f"{n.domain}:{n.op_type}" for n in model.graph.node if n.domain not in _KNOWN_DOMAINS | own
    }
    if custom:
        raise TargetError(
            f"no target can express the operator {', '.join(sorted(custom))}", where=str(path)
        )


def _check_inputs(tensors: Sequence[Tensor], specs: tuple[TensorSpec, ...], where: str) -> None:
    """Compare a prepared sample with the inputs; named dimensions take any size."""
    if len(tensors) != len(specs):
        names = ", ".join(spec.name for spec in specs)
        raise SourceError(
            f"has {len(specs)} inputs ({names}), {len(tensors)} are given",
            where=where,
            todo="give one --input for each, in order",
        )
    for tensor, spec in zip(tensors, specs, strict=True):
        same = len(tensor.shape) == len(spec.shape) and all(
            isinstance(size, str) or size == have
            for size, have in zip(spec.shape, tensor.shape, strict=True)
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
