"""What does the agent cost a device: memory, time to the first answer, import; and OpenCV?

Ours: the agent as it runs on a device, with its worker process for one model, after a restart.
Baseline: ONNX Runtime behind Python's own HTTP server with the same model (`bare_server`), and for
the import Python alone. Memory counts shared pages by share, over all processes. OpenCV, which only
models of resized images load, has a row of its own: a process with ONNX Runtime that resized an
image, beside one that did not.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.one_device import (
    answers,
    bare_server,
    memory_mb,
    model_of,
    one_device,
    until_it_answers,
)
from edgekit.bench import Effort, Result, measure, paired_ratio, summarize
from edgekit.demo.processes import Background, free_port

QUESTION = "what the agent costs a device"
CHANNELS = 64
ASKED = 200
OURS, BARE = "agent", "bare server"
WITH_CV2, WITHOUT_CV2 = "runtime and OpenCV", "runtime alone"
RUNTIME = "import re, numpy, onnxruntime\n"
RESIZE = "import cv2\ncv2.resize(numpy.zeros((720, 1280, 3), 'uint8'), (224, 224))\n"
PSS = "print(int(re.search('Pss: +([0-9]+)', open('/proc/self/smaps_rollup').read())[1]) / 1024)"


def run(short: bool) -> list[Result]:
    """Start both in turns; the short form takes about half a minute."""
    rounds = 5 if short else 20
    with (
        tempfile.TemporaryDirectory() as folder,
        one_device(Path(folder), channels=CHANNELS) as device,
    ):
        netloc, port = device.address(), free_port()
        device.agent.stop()
        bare = bare_server(model_of(device, "1"), port, log=device.folder / "bare.log")
        starts: dict[str, list[float]] = {OURS: [], BARE: []}
        memory: dict[str, list[float]] = {OURS: [], BARE: []}
        for _ in range(rounds):
            for name, process, where in (
                (OURS, device.agent, netloc),
                (BARE, bare, f"127.0.0.1:{port}"),
            ):
                started, held = _once(process, where)
                starts[name].append(started)
                memory[name].append(held)
    return [
        *_compared("from start to the first answer", "ms", starts),
        *_compared(f"memory after {ASKED} answers", "MiB", memory),
        *_imports(rounds),
        *_opencv(rounds),
    ]


def _once(process: Background, netloc: str) -> tuple[float, float]:
    """Return milliseconds to the first answer, and memory after some more."""
    began = time.monotonic()
    process.start()
    try:
        started_ms = (until_it_answers(netloc) - began) * 1e3
        for _ in range(ASKED):
            answers(netloc)
        return started_ms, memory_mb(process)
    finally:
        process.stop()


def _imports(rounds: int) -> list[Result]:
    candidates: dict[str, Callable[[], object]] = {
        "import device_agent": lambda: _python("import device_agent.__main__"),
        "python alone": lambda: _python("pass"),
    }
    effort = Effort(warmup_runs=1, num_runs=rounds, min_secs=0.0)
    samples = measure(candidates, effort)
    return _compared("import of its program", "ms", samples)


def _opencv(rounds: int) -> list[Result]:
    """Compare the memory of two processes, in turns."""
    samples: dict[str, list[float]] = {WITH_CV2: [], WITHOUT_CV2: []}
    for _ in range(rounds):
        samples[WITH_CV2].append(float(_python(RUNTIME + RESIZE + PSS)))
        samples[WITHOUT_CV2].append(float(_python(RUNTIME + PSS)))
    added = float(np.median(samples[WITH_CV2]) - np.median(samples[WITHOUT_CV2]))
    without, with_cv2 = _compared("memory with OpenCV", "MiB", samples)
    return [without, replace(with_cv2, numbers={"added_mb": added})]


def _python(code: str) -> str:
    """Run a program and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True
    )
    return done.stdout


def _compared(condition: str, unit: str, samples: dict[str, list[float]]) -> list[Result]:
    """Return both; the second counts as 1."""
    (name, ours), (other, bare) = samples.items()
    baseline = Result(
        question=QUESTION,
        candidate=other,
        condition=condition,
        summary=summarize(bare, unit=unit),
        samples=tuple(bare),
    )
    over = paired_ratio(ours, bare, rng=np.random.default_rng(4))
    return [
        baseline,
        replace(
            baseline,
            candidate=name,
            summary=summarize(ours, unit=unit),
            ratio=over,
            samples=tuple(ours),
        ),
    ]
