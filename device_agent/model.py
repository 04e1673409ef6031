"""`from device_agent import Model`: inference from Python code on the device.

`Model.active` talks to the worker over its Unix socket and follows swaps by itself; a model that
crashes takes its worker down and not the caller. `Model.in_process` runs the model inside the
caller instead: no copy, no isolation, no telemetry, and it stays on the bundle it was opened with.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from device_agent.asking import Asking, Said
from device_agent.config import Layout
from device_agent.parameters import FILE, postprocessing_with, settled
from device_agent.slots import SlotStore
from edgekit import codec
from edgekit.errors import DataError, FormatError, NetworkError, RuntimeFailedError, UsageError
from edgekit.runtime.base import Tensor

STATE_VARIABLE = "EDGEKIT_STATE"
HEADER_LENGTH = "Inference-Header-Content-Length"
_OK = 200
_TYPES = {"bool": "BOOL", "float16": "FP16", "float32": "FP32", "float64": "FP64"}
_DTYPES = {name: dtype for dtype, name in _TYPES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inference:
    """What a model said.

    Attributes:
        outputs: Tensors by name.
        version: Version of the release that answered.
        label: Class, if it classifies; of a detector the surest object's.
        confidence: Its probability, in [0, 1].
        answer: Objects, shares of pixels or an embedding; None for a classification.
    """

    outputs: dict[str, Tensor]
    version: str
    label: str = ""
    confidence: float = 0.0
    answer: Any = None


class _Way(Protocol):
    """How samples come to the model."""

    def infer(self, sample: Tensor) -> Inference:
        """Answer one raw sample."""
        ...

    def parameters(self) -> dict[str, Any]:
        """Return what holds on this device."""
        ...

    def close(self) -> None:
        """Give back what is held."""
        ...


class Model:
    """A model on this device. Safe for several threads."""

    def __init__(self, way: _Way) -> None:
        self._way = way

    @classmethod
    def active(cls, name: str, *, state: Path | str | None = None) -> Model:
        """Return the model that the agent serves; nothing is sent yet.

        Args:
            name: Of the model.
            state: Folder of the agent; None takes EDGEKIT_STATE.

        Raises:
            UsageError: No folder was named.
        """
        return cls(_Worker(Layout(_state(state)).models / name, name))

    @classmethod
    def in_process(cls, name: str, *, state: Path | str | None = None, threads: int = 1) -> Model:
        """Load the committed bundle into this process: unisolated, see the module.

        Raises:
            UsageError: No folder was named, or no bundle of the model is committed.
            BundleError: It is damaged.
            RuntimeFailedError: The runtime refuses it.
        """
        return cls(_Inside(Layout(_state(state)).models, name, threads=threads))

    def __call__(self, sample: Tensor) -> Inference:
        """Answer one raw sample: an image, a waveform, or a tensor without the batch dimension.

        Raises:
            DataError: The sample does not suit the model.
            RuntimeFailedError: The model failed.
            NetworkError: No worker answers.
        """
        return self._way.infer(sample)

    async def call(self, sample: Tensor) -> Inference:
        """Answer one raw sample without blocking the event loop. Raises as a call does."""
        return await asyncio.to_thread(self._way.infer, sample)

    def batch(self, samples: Iterable[Tensor]) -> list[Inference]:
        """Answer samples in order, one after the other. Raises as a call does."""
        return [self._way.infer(sample) for sample in samples]

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters that hold on this device, defaults filled in.

        Of `active` those of now, asked anew each time; of `in_process` those of when it was opened.

        Raises:
            NetworkError: No worker answers.
        """
        return self._way.parameters()

    def close(self) -> None:
        """Give back connections; a later call opens them again."""
        self._way.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _state(given: Path | str | None) -> Path:
    folder = given or os.environ.get(STATE_VARIABLE, "")
    if not folder:
        raise UsageError("the agent's folder is not known", todo=f"set {STATE_VARIABLE}")
    return Path(folder)


@dataclass(frozen=True, slots=True)
class _Line:
    """A connection to the worker that answered last, and what it calls its input."""

    way: Asking
    input: str
    raw: bool


class _Worker:
    """Over the Unix socket; connections are kept and lent to one call at a time."""

    def __init__(self, folder: Path, model: str) -> None:
        self._folder, self._path = folder, f"/v2/models/{model}"
        self._lock = threading.Lock()
        self._free: list[_Line] = []

    def infer(self, sample: Tensor) -> Inference:
        """Send a sample as one binary tensor."""
        array = np.ascontiguousarray(sample)
        try:
            return self._infer(array)
        except OSError:
            self.close()  # the worker was replaced: ask the one that listens now
        try:
            return self._infer(array)
        except OSError as error:
            raise NetworkError(f"no worker answers ({error})", where=str(self._folder)) from error

    def parameters(self) -> dict[str, Any]:
        """Ask the worker."""
        way = Asking(self._folder)
        try:
            meta = _described(way, self._path)
        except OSError as error:
            raise NetworkError(f"no worker answers ({error})", where=str(self._folder)) from error
        finally:
            way.close()
        text = str(meta.parameters.get("device_parameters", "{}"))
        return codec.decode(text.encode(), dict[str, Any], where=self._path)

    def close(self) -> None:
        """Close the connections that nobody uses at this moment."""
        with self._lock:
            lines, self._free = self._free, []
        for line in lines:
            line.way.close()

    def _infer(self, array: Tensor) -> Inference:
        line = self._take()
        head = _head(line.input, array, raw=line.raw)
        parts = (head, array.data.cast("B")) if array.nbytes else (head,)
        headers = (f"{HEADER_LENGTH}: {len(head)}",)
        said = line.way.ask("POST", f"{self._path}/infer", parts, headers)
        if line.way.open:
            with self._lock:
                self._free.append(line)
        if said.status != _OK:
            raise _fault(said)
        length = said.fields.get(HEADER_LENGTH.lower(), "")
        return _read(said.body, int(length) if length else len(said.body))

    def _take(self) -> _Line:
        with self._lock:
            if self._free:
                return self._free.pop()
        way = Asking(self._folder)
        try:
            meta = _described(way, self._path)
        except BaseException:
            way.close()
            raise
        if not way.open:  # the worker is leaving: the next one listens already
            way = Asking(self._folder)
        raw = bool(meta.parameters.get("raw", False))
        name = str(meta.parameters.get("raw_input", "image")) if raw else meta.inputs[0].name
        return _Line(way, name, raw)


def _described(way: Asking, path: str) -> _Metadata:
    return codec.decode(bytes(way.ask("GET", path).body), _Metadata, where=path)


def _head(name: str, array: Tensor, *, raw: bool) -> bytes:
    """Return the JSON part of a request; a tensor gets the batch dimension, a raw one does not."""
    one = {
        "name": name,
        "shape": list(array.shape) if raw else [1, *array.shape],
        "datatype": _TYPES.get(array.dtype.name, array.dtype.name.upper()),
        "parameters": {"binary_data_size": array.nbytes},
    }
    return codec.encode({"inputs": [one], "parameters": {"binary_data_output": True}})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Described:
    name: str
    shape: tuple[int, ...] = ()
    datatype: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Metadata:
    inputs: tuple[_Described, ...]
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    model_version: str
    outputs: tuple[_Described, ...]
    parameters: dict[str, Any] = field(default_factory=dict)


def _fault(said: Said) -> DataError | RuntimeFailedError:
    try:
        text = str(codec.decode(bytes(said.body), dict[str, Any], where="answer").get("error", ""))
    except FormatError:
        text = f"the worker answers {said.status}"
    return DataError(text) if said.status < 500 else RuntimeFailedError(text)


def _read(data: memoryview, length: int) -> Inference:
    answer = codec.decode(bytes(data[:length]), _Answer, where="answer")
    outputs: dict[str, Tensor] = {}
    at = length
    for one in answer.outputs:
        size = int(one.parameters.get("binary_data_size", 0))
        dtype = _DTYPES.get(one.datatype, one.datatype.lower())
        outputs[one.name] = np.frombuffer(data, dtype, size // np.dtype(dtype).itemsize, at)
        outputs[one.name] = outputs[one.name].reshape(one.shape)
        at += size
    whole = answer.parameters.get("answer")
    return Inference(
        outputs=outputs,
        version=answer.model_version,
        label=str(answer.parameters.get("label", "")),
        confidence=float(answer.parameters.get("confidence", 0.0)),
        answer=None if whole is None else codec.decode(whole.encode(), object, where="answer"),
    )


class _Inside:
    """In the caller's process."""

    def __init__(self, models: Path, name: str, *, threads: int) -> None:
        from edgekit.runtime import open_session

        slots = SlotStore(models).of(name)
        digest = slots.pointers().active
        if not digest:
            raise UsageError("no bundle is committed", where=name)
        manifest = slots.open(digest).manifest
        self._values = settled(manifest, slots.folder / FILE).values
        spec = postprocessing_with(manifest.postprocessing, self._values)
        self._manifest = replace(manifest, postprocessing=spec)
        file = slots.folder / digest / "files" / self._manifest.file
        if not file.is_file():
            slots.open(digest).extract(file.parent)
        self._session = open_session(file, self._manifest.format, threads=threads)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Nothing is held but the model."""

    def parameters(self) -> dict[str, Any]:
        """Return what held when the bundle was opened."""
        return dict(self._values)

    def infer(self, sample: Tensor) -> Inference:
        """Prepare, run and interpret here."""
        from device_agent.worker.answers import interpret
        from edgekit.preprocessing import prepare

        with self._lock:
            outputs = self._session.run([prepare(sample, self._manifest.preprocessing)])
        top, whole = interpret(outputs, self._manifest)
        return Inference(
            outputs={s.name: o for s, o in zip(self._manifest.outputs, outputs, strict=True)},
            version=self._manifest.version,
            label=top.label if top else "",
            confidence=top.confidence if top else 0.0,
            answer=whole,
        )
