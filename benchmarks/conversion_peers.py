"""What does a conversion to int8 cost and keep, beside the peers that people use?

Every candidate is a process of its own that begins with the same float ONNX file and the same 300
samples and ends with an int8 file. Ours is the command `edgekit convert` with all its proofs; the
baseline is ONNX Runtime's own `quantize_static`; the peer, NNCF, runs in an environment of its own
as its documentation shows, and proves nothing. `make bench-peers` makes that environment, and
EDGEKIT_NNCF names its python. Memory is the most that the process held. Latency is measured in
turns, all files in this process, one thread.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.conversion import Case, answers_of_file, cases, export, reference_answers
from benchmarks.fresh import took
from converters.metrics import accuracy
from converters.reading import read_samples
from edgekit.bench import Effort, Result, measure, ratio, summarize
from edgekit.bundle import open_bundle
from edgekit.manifest import ModelFormat
from edgekit.runtime import Tensor, open_session

QUESTION = "conversion of a float ONNX file to int8"
OURS, PLAIN = "edgekit convert, with all proofs", "quantize_static, defaults, no proof"
PEERS = {"EDGEKIT_NNCF": "nncf_int8"}
_MEASURED = {"seconds": "s", "memory_mb": "MiB", "points_lost": "points", "latency_ms": "ms"}
SCRIPTS = Path(__file__).parent / "peers"


@dataclass(slots=True)
class Found:
    """Measurements of one candidate; why it failed, where it did."""

    seconds: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    points_lost: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)
    refused: str = ""


def run(short: bool) -> list[Result]:
    """Measure over seeds; nothing where no peer is installed."""
    peers = {name: os.environ[key] for key, name in PEERS.items() if os.environ.get(key)}
    if not peers:
        return []
    found: dict[str, dict[str, Found]] = {}
    for seed in range(3 if short else 12):
        with tempfile.TemporaryDirectory() as folder:
            for case in cases(Path(folder), seed):
                _one(case, Path(folder) / "work", peers, found.setdefault(case.name, {}))
    return [result for name, by_way in found.items() for result in _results(name, by_way)]


def _one(case: Case, folder: Path, peers: dict[str, str], found: dict[str, Found]) -> None:
    folder.mkdir(exist_ok=True)
    export(case, folder / "float.onnx")
    calibration = read_samples(case.calibration)
    tensors = [calibration.tensors(i, case.preprocessing)[0][0] for i in range(len(calibration))]
    np.savez(folder / "samples.npz", tensors=np.stack(tensors))
    made = {OURS: _ours(case, folder, found.setdefault(OURS, Found()))}
    for name, python in {"plain_int8": sys.executable, **peers}.items():
        label = PLAIN if name == "plain_int8" else name.removesuffix("_int8")
        made[label] = _peer(name, python, folder, found.setdefault(label, Found()))
    files = {label: file for label, file in made.items() if file is not None}
    evaluation = read_samples(case.evaluation)
    reference = reference_answers(case, evaluation)
    labels = evaluation.labelled()
    for label, file in files.items():
        answers = answers_of_file(case, file, evaluation)
        lost = accuracy(reference, labels) - accuracy(answers, labels)
        found[label].points_lost.append(100 * lost)
    for label, median_ms in _latencies(files, tensors[0][np.newaxis]).items():
        found[label].latency_ms.append(median_ms)


def _ours(case: Case, folder: Path, found: Found) -> Path | None:
    out = folder / "ours"
    (folder / "preprocessing.json").write_text(
        json.dumps(
            {
                "height": case.preprocessing.height,
                "width": case.preprocessing.width,
                "scale": case.preprocessing.scale,
            }
        )
    )
    words = ["-m", "edgekit.cli", "convert", str(folder / "float.onnx"), "--model", "bench"]
    words += ["--version", "1", "--target", "onnx-int8", "--out", str(out)]
    words += ["--allow-slower"]  # the peers keep a file that is slower than the float one, too
    words += ["--preprocessing", str(folder / "preprocessing.json")]
    words += ["--calibration", str(case.calibration), "--evaluation", str(case.evaluation)]
    if not _timed([sys.executable, *words], found):
        return None
    (bundle,) = out.glob("*.bundle")
    model = folder / "ours.onnx"
    opened = open_bundle(bundle)
    model.write_bytes(opened.read(opened.manifest.file))
    bundle.unlink()
    return model


def _peer(name: str, python: str, folder: Path, found: Found) -> Path | None:
    out = folder / f"{name}.onnx"
    script = str(SCRIPTS / f"{name}.py")
    words = [python, script, str(folder / "float.onnx"), str(folder / "samples.npz"), str(out)]
    return out if _timed(words, found) else None


def _timed(command: list[str], found: Found) -> bool:
    """Run a command and add what it took; say whether it did what was asked."""
    environment = dict(os.environ)
    if command[0] != sys.executable:
        environment.pop("PYTHONPATH", None)
    one = took(command, env=environment)
    if one.refused:
        found.refused = one.refused[:200]
        return False
    found.seconds.append(one.seconds)
    found.memory_mb.append(one.memory_mb)
    return True


def _latencies(files: dict[str, Path], tensor: Tensor) -> dict[str, float]:
    sessions = {label: open_session(file, ModelFormat.ONNX) for label, file in files.items()}
    runs: dict[str, Callable[[], object]] = {
        label: partial(session.run, [tensor]) for label, session in sessions.items()
    }
    samples = measure(runs, Effort(warmup_runs=50, num_runs=500, min_secs=0.0))
    return {label: float(np.median(values)) for label, values in samples.items()}


def _results(name: str, found: dict[str, Found]) -> Iterator[Result]:
    """Yield the rows of a model, the baseline first; what failed is a row that says why."""
    labels = sorted(found, key=lambda label: label != PLAIN)
    for what, unit in _MEASURED.items():
        base: list[float] = getattr(found[PLAIN], what)
        for label in labels:
            values: list[float] = getattr(found[label], what)
            if not values:
                continue
            over = None
            if label != PLAIN and base and what != "points_lost":
                over = ratio(values, base, rng=np.random.default_rng(9))
            yield Result(
                question=QUESTION,
                candidate=label,
                condition=f"{name}: {what.rpartition('_')[0] or what}",
                summary=summarize(values, unit=unit),
                ratio=over,
                samples=tuple(values),
            )
    for label in labels:
        if found[label].refused:
            yield Result(
                question=QUESTION,
                candidate=f"{label}: {found[label].refused}",
                condition=f"{name}: refused",
                summary=summarize([1.0], unit="refused"),
            )
