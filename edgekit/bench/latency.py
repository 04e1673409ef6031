"""Latency of a bundle or a model file on this machine, in fresh processes, one after the other."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgekit.bench.condition import throttled_between
from edgekit.bench.effort import DEFAULT, Effort
from edgekit.bench.environment import record
from edgekit.bench.messages import Ask, Request, Slice, Started, Streamed
from edgekit.bench.process import MeasuringProcess
from edgekit.bench.report import START_PARTS, LatencyReport, Memory, Samples, Step
from edgekit.bench.statistics import Summary, percentile_of, summarize
from edgekit.bench.steadiness import drift, judge, noise_floor
from edgekit.bench.stream import STEPS
from edgekit.runtime import OperatorTime

MAX_KEPT = 100_000
PROFILE_RUNS = 20
MAX_SLICES = 120
MIN_SLICE_S = 1.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What to measure besides the file.

    Attributes:
        effort: How long.
        threads: For the runtime.
        percentiles: In (0, 1).
        affinity: Cores to stay on; empty leaves it to the system.
        starts: Fresh processes whose start is timed, at least 1.
        profile: Ask the runtime where the time goes.
        sustained_s: How long to go on under full load afterwards; 0 for not at all.
    """

    effort: Effort = DEFAULT
    threads: int = 1
    percentiles: tuple[float, ...] = (0.5, 0.9, 0.99)
    affinity: tuple[int, ...] = ()
    starts: int = 3
    profile: bool = False
    sustained_s: float = 0.0


def bench_path(path: Path, setting: Setting) -> LatencyReport:
    """Measure a bundle (.bundle) or a model file (.onnx, .tflite, .xml).

    Raises:
        UsageError: The file is neither.
        BundleError: The bundle is damaged.
        RuntimeFailedError: The runtime refuses the model, or it killed the measuring process.
    """
    started = [_start(path, setting) for _ in range(setting.starts - 1)]
    with (
        tempfile.TemporaryDirectory() as folder,
        MeasuringProcess(path, threads=setting.threads, affinity=setting.affinity) as process,
    ):
        started.append(process.started)
        file = Path(folder) / "samples.npz"
        streamed = _streamed(process, setting.effort, file)
        with np.load(file) as arrays:
            started_s, steps_ms = arrays["started_s"], arrays["steps_ms"]
        operators = _operators(process) if setting.profile else ()
        curve = _curve(process, setting.sustained_s) if setting.sustained_s else ()
    return _report(
        path,
        setting,
        started=started,
        streamed=streamed,
        started_s=started_s,
        steps_ms=steps_ms,
        operators=operators,
        curve=curve,
    )


def _start(path: Path, setting: Setting) -> Started:
    with MeasuringProcess(path, threads=setting.threads, affinity=setting.affinity) as process:
        return process.started


def _streamed(process: MeasuringProcess, effort: Effort, file: Path) -> Streamed:
    request = Request(
        ask=Ask.STREAM,
        runs=effort.num_runs,
        secs=effort.min_secs,
        warmup_runs=effort.warmup_runs,
        samples_file=str(file),
    )
    streamed = process.ask(request).streamed
    if streamed is None:
        raise AssertionError("a stream is answered by a stream")
    return streamed


def _operators(process: MeasuringProcess) -> tuple[OperatorTime, ...]:
    return process.ask(Request(ask=Ask.PROFILE, runs=PROFILE_RUNS)).operators or ()


def _curve(process: MeasuringProcess, seconds: float) -> tuple[Slice, ...]:
    slices = max(1, min(MAX_SLICES, int(seconds / MIN_SLICE_S)))
    return process.ask(Request(ask=Ask.SUSTAIN, secs=seconds / slices, slices=slices)).slices


def _report(
    path: Path,
    setting: Setting,
    *,
    started: Sequence[Started],
    streamed: Streamed,
    started_s: Floats,
    steps_ms: Floats,
    operators: tuple[OperatorTime, ...],
    curve: tuple[Slice, ...],
) -> LatencyReport:
    first = started[-1]
    inference = steps_ms[:, STEPS.index("inference")].tolist()
    frequencies = [p.frequency_mhz for p in streamed.probes if p.frequency_mhz is not None]
    return LatencyReport(
        what=str(path),
        digest=first.digest,
        runtime=first.runtime,
        version=first.version,
        provider=first.provider,
        threads=setting.threads,
        inputs=first.inputs,
        steps=_steps(steps_ms, setting.percentiles, whole=first.has_steps),
        starts=_starts(started),
        memory=Memory(before_mb=first.before_mb, peak_mb=streamed.peak_mb),
        warm_up=streamed.warm_up,
        condition=streamed.condition,
        probes=streamed.probes,
        steadiness=judge(
            inference,
            throttle_events=throttled_between(streamed.probes) or 0,
            frequencies_mhz=frequencies,
        ),
        drift=drift(inference),
        noise_floor=noise_floor(inference, rng=np.random.default_rng(0)),
        environment=record(),
        operators=operators,
        curve=curve,
        samples=_kept(started_s, steps_ms, whole=first.has_steps),
    )


def _columns(steps_ms: Floats, *, whole: bool) -> dict[str, Floats]:
    if not whole:
        return {"inference": steps_ms[:, STEPS.index("inference")]}
    columns = {name: steps_ms[:, index] for index, name in enumerate(STEPS)}
    return {**columns, "total": steps_ms.sum(axis=1)}


def _steps(steps_ms: Floats, percentiles: Sequence[float], *, whole: bool) -> tuple[Step, ...]:
    return tuple(
        Step(
            name=name,
            summary=summarize(values.tolist(), unit="ms"),
            percentiles=tuple(percentile_of(values.tolist(), p) for p in percentiles),
        )
        for name, values in _columns(steps_ms, whole=whole).items()
    )


def _starts(started: Sequence[Started]) -> dict[str, Summary]:
    measured = [(s.process_ms, s.import_ms, s.load_ms, s.first_ms, s.cold_ms) for s in started]
    parts = zip(START_PARTS, zip(*measured, strict=True), strict=True)
    return {name: summarize(values, unit="ms") for name, values in parts}


def _kept(started_s: Floats, steps_ms: Floats, *, whole: bool) -> Samples:
    every = -(-len(started_s) // MAX_KEPT)
    columns = _columns(steps_ms, whole=whole)
    columns.pop("total", None)
    return Samples(
        started_s=tuple(np.round(started_s[::every], 6).tolist()),
        steps_ms={name: tuple(v[::every].round(6).tolist()) for name, v in columns.items()},
        every=every,
    )
