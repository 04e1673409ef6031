"""Latency of a bundle or a model file on this machine, on real inputs where there are any.

Preprocessing is timed as its own line: it is part of what a user waits for, and no runtime's fault.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.bench.environment import Environment, record
from edgekit.bench.measure import Effort, measure
from edgekit.bench.statistics import Summary, summarize
from edgekit.bundle import SUFFIX, open_bundle
from edgekit.errors import UsageError
from edgekit.golden import read_golden
from edgekit.manifest import ModelFormat, TensorSpec
from edgekit.preprocessing import prepare
from edgekit.runtime import Session, Tensor, open_session

_SYNTHETIC_INPUTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyReport:
    """How long one inference takes here.

    Attributes:
        what: The bundle or model file.
        runtime: Runtime that ran it.
        provider: Execution provider that ran it.
        threads: Threads that the runtime was given.
        inputs: "golden samples" or "random numbers".
        inference: The runtime alone, milliseconds.
        preprocessing: From the raw sample to the tensor, milliseconds; None for a model file.
        environment: On what it was measured.
    """

    what: str
    runtime: str
    provider: str
    threads: int
    inputs: str
    inference: Summary
    preprocessing: Summary | None
    environment: Environment


def bench_path(path: Path, effort: Effort, *, threads: int = 1) -> LatencyReport:
    """Measure a bundle (.bundle) or a model file (.onnx, .tflite).

    Raises:
        UsageError: The file is neither.
        BundleError: The bundle is damaged.
        RuntimeFailedError: The runtime refuses the model.
    """
    if path.suffix == SUFFIX:
        return _bench_bundle(path, effort, threads)
    try:
        model_format = ModelFormat(path.suffix.removeprefix("."))
    except ValueError as error:
        raise UsageError(
            "is neither a bundle nor a model file", where=str(path), todo="give .bundle, .onnx, ..."
        ) from error
    if not path.is_file():
        raise UsageError("there is no such file", where=str(path))
    session = open_session(path, model_format, threads=threads)
    rng = np.random.default_rng(0)
    inputs = [[_random(spec, rng) for spec in session.inputs] for _ in range(_SYNTHETIC_INPUTS)]
    samples = measure({"inference": _infer(session, inputs)}, effort)
    return _report(path, session, samples, threads=threads, inputs="random numbers")


def _bench_bundle(path: Path, effort: Effort, threads: int) -> LatencyReport:
    bundle = open_bundle(path)
    manifest = bundle.manifest
    golden = read_golden(bundle)
    raw = list(golden.inputs)
    tensors = [golden.tensors(index, manifest.preprocessing) for index in range(len(raw))]
    with _unpacked(bundle.read(manifest.file), manifest.file) as model:
        session = open_session(model, manifest.format, threads=threads)
        turn = itertools.cycle(raw)
        candidates = {
            "inference": _infer(session, tensors),
            "preprocessing": lambda: prepare(next(turn), manifest.preprocessing),
        }
        samples = measure(candidates, effort)
        return _report(path, session, samples, threads=threads, inputs="golden samples")


def _infer(session: Session, inputs: Sequence[list[Tensor]]) -> Callable[[], object]:
    turn = itertools.cycle(inputs)
    return lambda: session.run(next(turn))


@contextmanager
def _unpacked(data: bytes, name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / Path(name).name
        model.write_bytes(data)
        yield model


def _random(spec: TensorSpec, rng: np.random.Generator) -> Tensor:
    shape = [size if isinstance(size, int) and size > 0 else 1 for size in spec.shape]
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return rng.random(shape).astype(dtype)
    return rng.integers(0, 2, shape).astype(dtype)


def _report(
    path: Path, session: Session, samples: dict[str, list[float]], *, threads: int, inputs: str
) -> LatencyReport:
    before = samples.get("preprocessing")
    return LatencyReport(
        what=str(path),
        runtime=session.runtime,
        provider=session.provider,
        threads=threads,
        inputs=inputs,
        inference=summarize(samples["inference"], unit="ms"),
        preprocessing=summarize(before, unit="ms") if before else None,
        environment=record(),
    )
