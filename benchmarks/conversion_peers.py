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
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.conversion import Case, answers_of_file, cases, export, reference_answers
from converters.metrics import accuracy
from converters.reading import read_samples
from edgekit.bench import Effort, Result, Summary, measure, ratio, summarize
from edgekit.bundle import open_bundle
from edgekit.manifest import ModelFormat
from edgekit.runtime import Tensor, open_session

QUESTION = "conversion of a float ONNX file to int8"
OURS, PLAIN = "edgekit convert, with all proofs", "quantize_static, defaults, no proof"
PEERS = {"EDGEKIT_NNCF": "nncf_int8"}
SCRIPTS = Path(__file__).parent / "peers"
TIMEOUT_S = 600.0
_WAIT = """
import os, sys
pid = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss / 1024, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A small process between: a child counts what its parent held when it was born as its own."""


@dataclass(slots=True)
class Found:
    """Measurements of one candidate."""

    seconds: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    points_lost: list[float] = field(default_factory=list)
    latency_ms: list[float] = field(default_factory=list)


def run(short: bool) -> list[Result]:
    """Measure over seeds; nothing where no peer is installed."""
    peers = {name: os.environ[key] for key, name in PEERS.items() if os.environ.get(key)}
    if not peers:
        return []
    found: dict[str, dict[str, Found]] = {}
    for seed in range(5 if short else 12):
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
    files = {OURS: _ours(case, folder, found.setdefault(OURS, Found()))}
    for name, python in {"plain_int8": sys.executable, **peers}.items():
        label = PLAIN if name == "plain_int8" else name.removesuffix("_int8")
        files[label] = _peer(name, python, folder, found.setdefault(label, Found()))
    evaluation = read_samples(case.evaluation)
    reference = reference_answers(case, evaluation)
    labels = evaluation.labelled()
    for label, file in files.items():
        answers = answers_of_file(case, file, evaluation)
        lost = accuracy(reference, labels) - accuracy(answers, labels)
        found[label].points_lost.append(100 * lost)
    for label, median_ms in _latencies(files, tensors[0][np.newaxis]).items():
        found[label].latency_ms.append(median_ms)


def _ours(case: Case, folder: Path, found: Found) -> Path:
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
    _timed([sys.executable, *words], found)
    (bundle,) = out.glob("*.bundle")
    model = folder / "ours.onnx"
    opened = open_bundle(bundle)
    model.write_bytes(opened.read(opened.manifest.file))
    bundle.unlink()
    return model


def _peer(name: str, python: str, folder: Path, found: Found) -> Path:
    out = folder / f"{name}.onnx"
    script = str(SCRIPTS / f"{name}.py")
    _timed(
        [python, script, str(folder / "float.onnx"), str(folder / "samples.npz"), str(out)], found
    )
    return out


def _timed(command: list[str], found: Found) -> None:
    environment = dict(os.environ)
    if command[0] != sys.executable:
        environment.pop("PYTHONPATH", None)
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-S", "-c", _WAIT, *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    found.seconds.append(time.perf_counter() - began)
    found.memory_mb.append(float(done.stderr.strip().splitlines()[-1]))


def _latencies(files: dict[str, Path], tensor: Tensor) -> dict[str, float]:
    sessions = {label: open_session(file, ModelFormat.ONNX) for label, file in files.items()}
    runs: dict[str, Callable[[], object]] = {
        label: partial(session.run, [tensor]) for label, session in sessions.items()
    }
    samples = measure(runs, Effort(warmup_runs=50, num_runs=500, min_secs=0.0))
    return {label: float(np.median(values)) for label, values in samples.items()}


def _results(name: str, found: dict[str, Found]) -> list[Result]:
    results = []
    for what, unit in (
        ("seconds", "s"),
        ("memory_mb", "MiB"),
        ("points_lost", "points"),
        ("latency_ms", "ms"),
    ):
        base: list[float] = getattr(found[PLAIN], what)
        for label in (PLAIN, *(n for n in found if n != PLAIN)):
            values: list[float] = getattr(found[label], what)
            summary: Summary = summarize(values, unit=unit)
            result = Result(
                question=QUESTION,
                candidate=label,
                condition=f"{name}: {what.rpartition('_')[0] or what}",
                summary=summary,
                samples=tuple(values),
            )
            if label != PLAIN and what != "points_lost":
                over = ratio(values, base, rng=np.random.default_rng(9))
                result = replace(result, ratio=over)
            results.append(result)
    return results
