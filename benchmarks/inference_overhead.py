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
import onnx
from onnx import TensorProto, helper, numpy_helper

from device_agent.spool import Spool
from device_agent.worker.engine import load_engine
from device_agent.worker.messages import Mode
from device_agent.worker.recorder import Recorder
from edgekit.bench import Effort, Result, measure, ratio, summarize
from edgekit.bundle import Bundle, open_bundle, write_bundle
from edgekit.device import Requirements, RuntimeRange
from edgekit.golden import compute_golden, golden_files
from edgekit.manifest import (
    GoldenSpec,
    Lineage,
    Manifest,
    ModelFormat,
    Precision,
    Preprocessing,
    Quality,
    TensorSpec,
)
from edgekit.preprocessing import prepare
from edgekit.runtime import Tensor, open_session

QUESTION = "latency of one inference through the agent's engine"
SIZES = {"small CNN": 16, "wide CNN": 384}
PREPROCESSING = Preprocessing(height=8, width=8, scale=1 / 16)
CLASSES = 10
MODEL = "model.onnx"


def run(short: bool) -> list[Result]:
    """Measure both sizes; the short form takes seconds."""
    effort = Effort(warmup_runs=200, num_runs=1000 if short else 20000, min_secs=2.0)
    results: list[Result] = []
    for condition, channels in SIZES.items():
        with tempfile.TemporaryDirectory() as folder:
            results += _compare(condition, _bundle(Path(folder), channels), effort)
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


def _bundle(folder: Path, channels: int) -> Bundle:
    model = folder / MODEL
    onnx.save(_network(channels), model)
    session = open_session(model, ModelFormat.ONNX)
    golden = compute_golden(session, [np.zeros((8, 8), np.uint8)], PREPROCESSING)
    files = {MODEL: model.read_bytes(), **golden_files(golden)}
    write_bundle(folder / "it.bundle", _manifest(), files)
    bundle = open_bundle(folder / "it.bundle")
    bundle.extract(folder)
    return bundle


def _network(channels: int) -> onnx.ModelProto:
    """Return image [1, 1, 8, 8] -> two convolutions -> scores [1, 10], random weights."""
    rng = np.random.default_rng(1)
    shapes = {
        "w1": (channels, 1, 3, 3),
        "w2": (channels, channels, 3, 3),
        "w3": (channels * 64, CLASSES),
    }
    weights = [
        numpy_helper.from_array(rng.normal(0, 0.05, shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("MatMul", ["e", "w3"], ["scores"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 8, 8])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, CLASSES])
    graph = helper.make_graph(nodes, "benchmark", [image], [scores], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _manifest() -> Manifest:
    return Manifest(
        model="benchmark",
        version="1",
        variant="onnx-fp32",
        format=ModelFormat.ONNX,
        precision=Precision.FP32,
        file=MODEL,
        inputs=(TensorSpec(name="image", shape=(1, 1, 8, 8), dtype="float32"),),
        outputs=(TensorSpec(name="scores", shape=(1, CLASSES), dtype="float32"),),
        requires=Requirements(runtimes=(RuntimeRange(name="onnxruntime"),)),
        golden=GoldenSpec(count=1, atol=1e-3),
        quality=Quality(
            metric="none",
            samples=0,
            accuracy=0.0,
            reference_accuracy=0.0,
            max_abs_diff=0.0,
            sqnr_db=0.0,
            agreement=0.0,
        ),
        lineage=Lineage(source="random weights", digests={}, recipe="fp32", tools={}),
        preprocessing=PREPROCESSING,
    )
