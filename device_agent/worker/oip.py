"""Open Inference Protocol v2: request bytes to tensors, tensors to response bytes. Pure.

JSON, and the binary tensor extension: raw little-endian tensors after a JSON header. A model with
preprocessing takes an input named "image" (of audio, "audio") as well: one raw sample, or an
encoded image (a WAV file) as BYTES, prepared by the manifest.

Source: Open Inference Protocol, "Predict Protocol - Version 2" and its "Binary Tensor Data
Extension".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from device_agent.parameters import Settings
from device_agent.worker.engine import Answer
from device_agent.worker.images import decode_image
from edgekit import codec
from edgekit.audio import check_rate, decode_wave, waveform_length
from edgekit.errors import DataError, FormatError
from edgekit.manifest import Manifest, Preprocessing, TensorSpec
from edgekit.runtime.base import Tensor

RAW_INPUTS = ("image", "audio")
HEADER_LENGTH = "Inference-Header-Content-Length"
_TYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class InferTensor:
    """One input or output of a request or response."""

    name: str
    shape: tuple[int, ...] = ()
    datatype: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    data: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InferRequest:
    """JSON part of a request."""

    inputs: tuple[InferTensor, ...]
    id: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    outputs: tuple[InferTensor, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """A request, read.

    Attributes:
        id: Comes back in the response.
        raw: One raw sample for the preprocessing; None when there are tensors.
        tensors: One per input of the model, in its order.
        binary: Names of the outputs that the client wants in binary.
    """

    id: str
    raw: Tensor | None
    tensors: list[Tensor]
    binary: frozenset[str]


def parse_request(body: memoryview, header_length: int | None, manifest: Manifest) -> Request:
    """Read a request.

    Args:
        body: Whole body.
        header_length: Value of `Inference-Header-Content-Length`; None for JSON only.
        manifest: Of the model that is asked.

    Raises:
        DataError: A missing, unknown or misshapen input.
        FormatError: The JSON part is none.
    """
    end = len(body) if header_length is None else header_length
    if not 0 <= end <= len(body):
        raise FormatError("the header is longer than the body", where=HEADER_LENGTH)
    request = codec.decode(bytes(body[:end]), InferRequest, where="request")
    given = _tensors(request.inputs, body[end:])
    binary = _binary_outputs(request, manifest)
    spec = manifest.preprocessing
    if spec is not None and set(given) == {raw_input(spec)}:
        return Request(request.id, _raw(request.inputs[0], given, spec), [], binary)
    return Request(request.id, None, [_take(given, spec) for spec in manifest.inputs], binary)


def raw_input(spec: Preprocessing) -> str:
    """Return the name of the input that takes a raw sample."""
    return RAW_INPUTS[spec.audio is not None]


def render_response(
    request: Request, answer: Answer, manifest: Manifest
) -> tuple[list[bytes | memoryview], int | None]:
    """Return the parts of the body and, if it holds binary tensors, the length of its JSON part."""
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes | memoryview] = []
    for spec, value in zip(manifest.outputs, answer.outputs, strict=True):
        entry: dict[str, Any] = {
            "name": spec.name,
            "shape": list(value.shape),
            "datatype": _NAMES.get(value.dtype.name, "BYTES"),
        }
        if spec.name in request.binary:
            blobs.append(_bytes(value))
            entry["parameters"] = {"binary_data_size": value.nbytes}
        else:
            entry["data"] = value.ravel().tolist()
        outputs.append(entry)
    head = codec.encode(_envelope(request, answer, manifest, outputs))
    return [head, *blobs], len(head) if blobs else None


def server_metadata(version: str) -> dict[str, Any]:
    """Return the answer to /v2."""
    return {"name": "edgekit", "version": version, "extensions": ["binary_tensor_data"]}


def model_metadata(manifest: Manifest, settings: Settings | None = None) -> dict[str, Any]:
    """Return the answer to /v2/models/<model>, with the parameters that hold as JSON text."""
    return {
        "name": manifest.model,
        "versions": [manifest.version],
        "platform": f"edgekit_{manifest.format}",
        "inputs": [_described(s) for s in manifest.inputs],
        "outputs": [_described(s) for s in manifest.outputs],
        "parameters": {
            "variant": manifest.variant,
            "labels": list(manifest.labels),
            "raw": manifest.preprocessing is not None,
            **_audio(manifest.preprocessing),
            **_held(settings or Settings()),
        },
    }


def model_config(manifest: Manifest) -> dict[str, Any]:
    """Return the answer to /v2/models/<model>/config, as far as clients of Triton read it."""
    return {
        "name": manifest.model,
        "platform": f"edgekit_{manifest.format}",
        "backend": f"edgekit_{manifest.format}",
        "max_batch_size": 0,
        "input": [_configured(s) for s in manifest.inputs],
        "output": [_configured(s) for s in manifest.outputs],
    }


def _raw(one: InferTensor, given: dict[str, Tensor], spec: Preprocessing) -> Tensor:
    raw = given[one.name]
    if spec.audio is None:
        return decode_image(raw.item(), channels=spec.channels) if raw.dtype.kind == "O" else raw
    if "sample_rate_hz" in one.parameters:
        check_rate(one.parameters["sample_rate_hz"], spec.audio)
    return decode_wave(raw.item(), spec.audio) if raw.dtype.kind == "O" else raw


def _audio(spec: Preprocessing | None) -> dict[str, Any]:
    """Return what a client must know of the waveforms that a model takes."""
    if spec is None or spec.audio is None:
        return {}
    length = waveform_length(spec.audio, spec.height)
    return {
        "raw_input": raw_input(spec),
        "sample_rate_hz": spec.audio.sample_rate_hz,
        "samples": length,
    }


def _held(settings: Settings) -> dict[str, Any]:
    held: dict[str, Any] = {}
    if settings.values:
        held["device_parameters"] = codec.encode(settings.values).decode()
    if settings.version:
        held["device_parameters_version"] = settings.version
    if settings.refused:
        held["device_parameters_refused"] = settings.refused
    return held


def _envelope(
    request: Request, answer: Answer, manifest: Manifest, outputs: list[dict[str, Any]]
) -> dict[str, Any]:
    envelope: dict[str, Any] = {
        "model_name": manifest.model,
        "model_version": manifest.version,
        "outputs": outputs,
    }
    if request.id:
        envelope["id"] = request.id
    if answer.top is not None:
        envelope["parameters"] = {
            "label": answer.top.label,
            "confidence": answer.top.confidence,
        }
    if answer.whole is not None:
        # Parameters of the protocol are texts, numbers and booleans: nested ones go as JSON.
        envelope.setdefault("parameters", {})["answer"] = codec.encode(answer.whole).decode()
    return envelope


def _described(spec: TensorSpec) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else -1 for size in spec.shape]
    return {"name": spec.name, "datatype": _NAMES.get(spec.dtype, "BYTES"), "shape": shape}


def _configured(spec: TensorSpec) -> dict[str, Any]:
    said = _described(spec)
    return {"name": said["name"], "data_type": f"TYPE_{said['datatype']}", "dims": said["shape"]}


def _bytes(value: Tensor) -> bytes | memoryview:
    array = np.ascontiguousarray(value)
    return array.data.cast("B") if array.size else b""


def _tensors(inputs: tuple[InferTensor, ...], blobs: memoryview) -> dict[str, Tensor]:
    given: dict[str, Tensor] = {}
    offset = 0
    for one in inputs:
        size = one.parameters.get("binary_data_size")
        if isinstance(size, int) and size >= 0:
            given[one.name] = _array(one, blobs[offset : offset + size])
            offset += size
        else:
            given[one.name] = _array(one, None)
    return given


def _array(one: InferTensor, blob: memoryview | None) -> Tensor:
    if one.datatype == "BYTES" and blob is not None:
        return _encoded(one, blob)
    dtype = _TYPES.get(one.datatype)
    if dtype is None:
        raise DataError(f"datatype {one.datatype!r} is not known", where=f"input {one.name}")
    try:
        flat = np.array(one.data, dtype) if blob is None else np.frombuffer(blob, dtype)
        shaped: Tensor = flat.reshape(one.shape)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(
            f"the values are no {one.datatype} of shape {list(one.shape)}",
            where=f"input {one.name}",
        ) from error
    if shaped.dtype.kind == "f" and not np.isfinite(shaped).all():
        raise DataError("the values are not finite", where=f"input {one.name}")
    return shaped


def _encoded(one: InferTensor, blob: memoryview) -> Tensor:
    """Read one BYTES element: four bytes of length, little-endian, then that many."""
    size = int.from_bytes(blob[:4], "little")
    if one.name not in RAW_INPUTS or len(blob) != 4 + size or np.prod(one.shape, dtype=int) != 1:
        raise DataError("BYTES is for one encoded image or WAV file", where=f"input {one.name}")
    element: Tensor = np.empty((), object)
    element[()] = bytes(blob[4:])
    return element


def _take(given: dict[str, Tensor], spec: TensorSpec) -> Tensor:
    where = f"input {spec.name}"
    if spec.name not in given:
        raise DataError("is missing", where=where, todo=f"given are {sorted(given)}")
    value = given[spec.name]
    fits = value.ndim == len(spec.shape) and all(
        not isinstance(want, int) or want == have
        for want, have in zip(spec.shape, value.shape, strict=False)
    )
    if not fits or value.dtype.name != spec.dtype:
        raise DataError(
            f"is {value.dtype.name} {list(value.shape)}, "
            f"the model takes {spec.dtype} {list(spec.shape)}",
            where=where,
        )
    return value


def _binary_outputs(request: InferRequest, manifest: Manifest) -> frozenset[str]:
    asked = {o.name: bool(o.parameters.get("binary_data", False)) for o in request.outputs}
    default = bool(request.parameters.get("binary_data_output", False))
    names = {spec.name for spec in manifest.outputs}
    return frozenset(n for n in names if asked.get(n, default))
