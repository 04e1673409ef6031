"""What is measured: a bundle or a model file, opened, with inputs and the steps of one query.

A bundle brings its golden samples, its preprocessing and its labels; a model file gets random
numbers and nothing around the inference.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter_ns

import numpy as np

from edgekit.bench.condition import memory_mb
from edgekit.bench.stream import Query
from edgekit.bundle import SUFFIX, file_digest, open_bundle
from edgekit.errors import UsageError
from edgekit.golden import GoldenSamples, read_golden
from edgekit.manifest import ModelFormat, Preprocessing, TensorSpec
from edgekit.postprocessing import classify
from edgekit.runtime import Session, Tensor, runtime_for

_SYNTHETIC_INPUTS = 8
_SUFFIXES = {".xml": "openvino"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model file with what belongs to it.

    Attributes:
        path: What the user named.
        digest: SHA-256 of that file, hex.
        model: The model file to open.
        format: Its format.
        golden: Raw samples; None for a model file.
        preprocessing: From a raw sample to the first input.
        labels: Class names; empty when there are none.
    """

    path: Path
    digest: str
    model: Path
    format: ModelFormat
    golden: GoldenSamples | None = None
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A subject in memory.

    Attributes:
        session: Runs it.
        version: Of the runtime.
        import_ms: Loading the runtime's program code.
        load_ms: Loading the model.
        before_mb: Memory of the process before the model was loaded, MiB.
    """

    session: Session
    version: str
    import_ms: float
    load_ms: float
    before_mb: float | None


@contextmanager
def subject(path: Path) -> Iterator[Subject]:
    """Open what a user named; a bundle's model is unpacked until the block ends.

    Raises:
        UsageError: Neither a bundle nor a model file, or no file at all.
        BundleError: The bundle is damaged.
    """
    if not path.is_file():
        raise UsageError("there is no such file", where=str(path))
    if path.suffix != SUFFIX:
        yield Subject(path=path, digest=file_digest(path), model=path, format=model_format(path))
        return
    bundle = open_bundle(path)
    manifest = bundle.manifest
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / Path(manifest.file).name
        model.write_bytes(bundle.read(manifest.file))
        yield Subject(
            path=path,
            digest=bundle.sha256,
            model=model,
            format=manifest.format,
            golden=read_golden(bundle),
            preprocessing=manifest.preprocessing,
            labels=manifest.labels,
        )


def model_format(path: Path) -> ModelFormat:
    """Return the format that a file's name says.

    Raises:
        UsageError: It says none.
    """
    try:
        return ModelFormat(_SUFFIXES.get(path.suffix, path.suffix.removeprefix(".")))
    except ValueError as error:
        raise UsageError(
            "is neither a bundle nor a model file", where=str(path), todo="give .bundle, .onnx, ..."
        ) from error


def open_subject(it: Subject, *, threads: int) -> Opened:
    """Load it, with the import of the runtime and the loading of the model timed apart.

    Raises:
        RuntimeFailedError: The runtime refuses the model.
        MissingExtraError: No runtime for it is installed.
    """
    runtime = runtime_for(it.format)
    began_ns = perf_counter_ns()
    module = getattr(runtime, "module", "")
    if module:
        _import(module)
    imported_ns = perf_counter_ns()
    before = memory_mb()
    session = runtime.open(it.model, threads=threads)
    return Opened(
        session=session,
        version=runtime.version(),
        import_ms=(imported_ns - began_ns) / 1e6,
        load_ms=(perf_counter_ns() - imported_ns) / 1e6,
        before_mb=before,
    )


def inputs_of(it: Subject, session: Session, *, seed: int = 0) -> tuple[tuple[Tensor, ...], ...]:
    """Return inputs to measure with: the golden samples made ready, else random numbers."""
    if it.golden is not None:
        count = len(it.golden.inputs)
        return tuple(_tensors(it.golden, index, it.preprocessing) for index in range(count))
    rng = np.random.default_rng(seed)
    return tuple(
        tuple(_random(spec, rng) for spec in session.inputs) for _ in range(_SYNTHETIC_INPUTS)
    )


def query_of(it: Subject, session: Session) -> Query:
    """Return one query whole: a bundle's with preprocessing and postprocessing."""
    if it.golden is None:
        ready = inputs_of(it, session)
        return Query(prepare=[partial(_as_it_is, tensors) for tensors in ready], infer=session.run)
    count = len(it.golden.inputs)
    return Query(
        prepare=[partial(_tensors, it.golden, index, it.preprocessing) for index in range(count)],
        infer=session.run,
        answer=lambda outputs: classify(outputs[0], it.labels),
    )


def _tensors(
    golden: GoldenSamples, index: int, preprocessing: Preprocessing | None
) -> tuple[Tensor, ...]:
    return tuple(golden.tensors(index, preprocessing))


def _as_it_is(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tensors


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError:
        return  # the adapter says it better


def _random(spec: TensorSpec, rng: np.random.Generator) -> Tensor:
    shape = [size if isinstance(size, int) and size > 0 else 1 for size in spec.shape]
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return rng.random(shape).astype(dtype)
    return rng.integers(0, 2, shape).astype(dtype)
