"""Does the memory of a calibration grow with the number of samples?

Ours: the calibration object built from a file of samples, and the ranges of a float ONNX file
taken from it, each in a fresh process, with 3,000 samples. Baseline: the same with 300.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgekit.bench import Result, paired_ratio, summarize

QUESTION = "peak memory of a calibration"
FEW, MANY = 300, 3000
SIDE = 96
_CHILD = r"""
import re, sys
from pathlib import Path
from converters.cache import Cache
from converters.collection import collect, samples_of
from converters.quantize import Calibration, INT8
from converters.targets.onnx import TARGET
data, folder, step = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
collected = collect(data, None, Cache(folder))
if step == "ranges":
    samples = samples_of(collected, data)
    calibration = Calibration(samples=samples, preprocessing=None, advance=lambda *_: None)
    TARGET.quantize(Path(sys.argv[4]), INT8, INT8.rungs[0], calibration, folder / "int8.onnx")
# Not ru_maxrss: that begins with the peak of the process that started this one.
print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024)
"""


def run(short: bool) -> list[Result]:
    """Measure each process's own peak; the short form takes about half a minute."""
    rounds = 3 if short else 10
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = _model(folder / "float.onnx")
        peaks: dict[tuple[str, int], list[float]] = {}
        for count in (FEW, MANY):
            _write(folder / f"{count}.npz", count)
        for number in range(rounds):
            for step in ("object", "ranges"):
                for count in (FEW, MANY):
                    cache = folder / f"{step}-{count}-{number}"
                    peak = _peak(folder / f"{count}.npz", cache, step, model)
                    peaks.setdefault((step, count), []).append(peak)
    return [
        result
        for step in ("object", "ranges")
        for result in _compared(step, peaks[step, FEW], peaks[step, MANY])
    ]


def _peak(data: Path, cache: Path, step: str, model: Path) -> float:
    words = [sys.executable, "-c", _CHILD, str(data), str(cache), step, str(model)]
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=240)
    return float(done.stdout.split()[-1])


def _write(path: Path, count: int) -> None:
    """Write smooth images that differ, [count, 3, 96, 96] float32."""
    rng = np.random.default_rng(0)
    coarse = rng.random((count, 3, SIDE // 8, SIDE // 8), dtype=np.float32)
    np.savez(path, images=coarse.repeat(8, axis=2).repeat(8, axis=3))


def _model(path: Path) -> Path:
    import onnx

    rng = np.random.default_rng(1)
    weights = [
        onnx.numpy_helper.from_array(rng.normal(0, 0.2, shape).astype(np.float32), name)
        for name, shape in (("w1", (16, 3, 3, 3)), ("w2", (32, 16, 3, 3)))
    ]
    node = onnx.helper.make_node
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            node("Conv", ["x", "w1"], ["a"], pads=[1] * 4, strides=[2, 2]),
            node("Relu", ["a"], ["b"]),
            node("Conv", ["b", "w2"], ["c"], pads=[1] * 4, strides=[2, 2]),
            node("GlobalAveragePool", ["c"], ["y"]),
        ],
        "g",
        [value("x", onnx.TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [value("y", onnx.TensorProto.FLOAT, [1, 32, 1, 1])],
        weights,
    )
    opsets = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def _compared(step: str, few: list[float], many: list[float]) -> list[Result]:
    baseline = Result(
        question=QUESTION,
        candidate=f"{FEW} samples",
        condition=step,
        summary=summarize(few, unit="MiB"),
        samples=tuple(few),
    )
    over = paired_ratio(many, few, rng=np.random.default_rng(4))
    return [
        baseline,
        replace(
            baseline,
            candidate=f"{MANY} samples",
            summary=summarize(many, unit="MiB"),
            ratio=over,
            samples=tuple(many),
        ),
    ]
