"""What does the agent cost per inference, over the bare session?

Ours: the worker's engine, from the raw sample to the class, with its lock, its watchdog mark and
its telemetry. Baseline: the same session and the same preprocessing, nothing else. Networks of
random weights in two sizes, because the cost is per call: it vanishes beside a large model.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.models import PREPROCESSING, random_bundle
from device_agent.spool import Spool
from device_agent.worker.engine import load_engine
from device_agent.worker.messages import Mode
from device_agent.worker.recorder import Recorder
from edgekit.bench import Effort, Result, measure, ratio, summarize
from edgekit.bundle import Bundle
from edgekit.preprocessing import prepare
from edgekit.runtime import Tensor

QUESTION = "latency of one inference through the agent's engine"
SIZES = {"small CNN": 16, "wide CNN": 384}


def run(short: bool) -> list[Result]:
    """Measure both sizes; the short form takes seconds."""
    effort = Effort(warmup_runs=200, num_runs=1000 if short else 20000, min_secs=2.0)
    results: list[Result] = []
    for condition, channels in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            results += _compare(condition, _extracted(Path(folder), channels), effort)
    return results


def _compare(condition: str, bundle: Bundle, effort: Effort) -> list[Result]:
    rng = np.random.default_rng(3)
    images = list(rng.integers(0, 17, (32, 8, 8)).astype(np.uint8))
    samples = measure(_candidates(bundle, images), effort)
    bare, ours = samples["bare session"], samples["agent's engine"]
    baseline = Result(
        question=QUESTION,
        candidate="bare session",
        condition=condition,
        summary=summarize(bare, unit="ms"),
    )
    return [
        baseline,
        replace(
            baseline,
            candidate="agent's engine",
            summary=summarize(ours, unit="ms"),
            ratio=ratio(ours, bare, rng=rng),
            numbers={"added_ms": float(np.median(ours) - np.median(bare))},
        ),
    ]


def _candidates(bundle: Bundle, images: list[Tensor]) -> dict[str, Callable[[], object]]:
    folder = bundle.path.parent
    recorder = Recorder(
        Spool(folder / "spool.db", max_bytes=1 << 20),
        model=bundle.manifest.model,
        digest=bundle.sha256,
        boot_id="benchmark",
        window_s=60.0,
        deadline_ms=0.0,
        clock=time.monotonic,
        rss_mb=lambda: 0.0,
    )
    recorder.open(Mode.STEADY)
    engine = load_engine(bundle.path, folder, digest=bundle.sha256, threads=1, recorder=recorder)
    session, turns = engine.session, itertools.cycle(images)
    return {
        "bare session": lambda: session.run([prepare(next(turns), PREPROCESSING)]),
        "agent's engine": lambda: engine.answer_raw(next(turns)),
    }


def _extracted(folder: Path, channels: int) -> Bundle:
    bundle = random_bundle(folder, channels)
    bundle.extract(folder)
    return bundle
