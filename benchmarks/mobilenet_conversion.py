"""How long does a MobileNetV2 take from torch to ONNX int8 and to TFLite int8, with all proofs?

Weights are random, calmed as `networks.settle` says, with batch norms settled and a last layer
fitted on frames, for no published ones are to be had and the bare random network is refused (7 dB
of 15): accuracy means agreement with torch on 100 held-out video frames. 300 other frames
calibrate. Every conversion is a process of its own without a cache, with two threads. `cpu s` are
the processor seconds of all threads: on a busy machine they tell more than the time that went by.
Memory is the most that the process held.
What fails or is refused is a row that says why.
The baseline is what a person writes without us: torch's exporter and ONNX Runtime's
`quantize_static` with its defaults, which proves nothing.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from benchmarks.env import CHECKOUT
from benchmarks.fresh import Took, took
from benchmarks.int8_models import frames
from converters.threads import one_thread
from edgekit.bench import Result, ratio, summarize

QUESTION = "MobileNetV2 224 from torch to int8, with all proofs"
PLAIN = "exporter and quantize_static, no proof"
_CALIBRATED, _HELD_OUT = 300, 100
_PREPROCESSING = {
    "height": 224, "width": 224, "channels": 3, "scale": 1 / 127.5, "mean": [1.0]
}  # fmt: skip
_EXPORT = """
import runpy, sys, torch
from benchmarks.networks import mobilenet_v2
model = mobilenet_v2()
model.load_state_dict(torch.load(sys.argv[1], weights_only=True))
exported = torch.onnx.export(model.eval(), (torch.zeros(1, 3, 224, 224),), dynamo=True)
exported.save(sys.argv[2])
sys.argv = ["plain_int8", sys.argv[2], sys.argv[3], sys.argv[2] + ".int8.onnx"]
runpy.run_path("benchmarks/peers/plain_int8.py", run_name="__main__")
"""


def run(short: bool) -> list[Result]:
    """Measure; the short form each once, the long one five times."""
    found: dict[str, list[Took]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder)
        for turn in range(1 if short else 5):
            for candidate, words in _candidates(folder, turn).items():
                one = took(words, cwd=CHECKOUT)
                row = f"{candidate}: {one.refused}" if one.refused else candidate
                found.setdefault(row, []).append(one)
    return [*_rows(found, "time"), *_rows(found, "memory")]


def _rows(found: Mapping[str, list[Took]], what: str) -> Iterator[Result]:
    """Yield a row a candidate; what a person writes counts as 1, what was refused has no ratio."""
    values = {
        name: [one.seconds if what == "time" else one.memory_mb for one in runs]
        for name, runs in found.items()
    }
    for name, runs in found.items():
        over = None
        if name != PLAIN and ": " not in name and values.get(PLAIN):
            over = ratio(values[name], values[PLAIN], rng=np.random.default_rng(5))
        yield Result(
            question=QUESTION,
            candidate=name,
            condition=what,
            summary=summarize(values[name], unit="s" if what == "time" else "MiB"),
            ratio=over,
            numbers=_numbers(runs[-1]) if what == "time" else {},
            samples=tuple(values[name]),
        )


def _candidates(folder: Path, turn: int) -> dict[str, list[str]]:
    weights = str(folder / "weights.pt")
    words = [weights, str(folder / f"plain{turn}.onnx"), str(folder / "samples.npz")]
    found = {PLAIN: [sys.executable, "-c", _EXPORT, *words]}
    for variant in ("onnx-int8", "tflite-int8"):
        words = ["convert", "benchmarks.networks:mobilenet_v2", "--weights", weights]
        words += ["--model", "bench", "--version", "1", "--target", variant, "--no-cache"]
        words += ["--preprocessing", str(folder / "preprocessing.json"), "--metric", "agreement"]
        words += ["--calibration", str(folder / "calibration.npz"), "--threads", "2"]
        words += ["--evaluation", str(folder / "held-out.npz"), "--allow-slower", "--json"]
        out = ["--out", str(folder / f"{variant}{turn}")]
        found[f"edgekit, {variant}"] = [sys.executable, "-m", "edgekit.cli", *words, *out]
    return found


def _numbers(one: Took) -> dict[str, float]:
    """Return what stands beside the time: processor seconds, and what a conversion tells."""
    told = json.loads(one.out)["variants"][0] if one.out.startswith("{") else {}
    numbers = {key: float(told[key]) for key in ("agreement", "sqnr_db", "median_ms") if told}
    return {**numbers, "cpu_s": one.cpu_s}


def _write(folder: Path) -> None:
    """Write weights, samples as images and as tensors, and the preprocessing."""
    import torch

    from benchmarks.networks import fit_last, mobilenet_v2, settle

    tensors, classes = frames(_CALIBRATED + _HELD_OUT)
    images = np.rint((tensors + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)
    np.savez(folder / "calibration.npz", images=images[:_CALIBRATED])
    np.savez(folder / "held-out.npz", images=images[_CALIBRATED:])
    np.savez(folder / "samples.npz", tensors=tensors[:_CALIBRATED])
    (folder / "preprocessing.json").write_text(json.dumps(_PREPROCESSING))
    torch.manual_seed(0)
    with one_thread():
        model = settle(mobilenet_v2(), tensors[:16])
        fit_last(model, tensors[:64], classes[:64])
    torch.save(model.state_dict(), folder / "weights.pt")
