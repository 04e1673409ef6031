"""What does HTTP cost per inference, beside a server that people use for models?

As `agent_http`, and in the same run MLServer with the same model: REST with JSON, because it has no
binary tensors there, and gRPC with raw contents. It runs in an environment of its own, which `make
bench-peers` makes and EDGEKIT_MLSERVER names by its python.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

from benchmarks.agent_http import measured, results_of
from edgekit.bench import Effort, Result

QUESTION = "latency of one inference over the network, beside MLServer"
VARIABLE = "EDGEKIT_MLSERVER"
SCRIPT = Path(__file__).parent / "peers" / "mlserver_latency.py"
TIMEOUT_S = 300.0


def run(short: bool) -> list[Result]:
    """Measure float32 and uint8 inputs; nothing where MLServer is not installed."""
    python = os.environ.get(VARIABLE)
    if not python:
        return []
    runs = 300 if short else 3000
    results: list[Result] = []
    for dtype in ("float32", "uint8"):
        with tempfile.TemporaryDirectory() as folder:
            samples = measured(Path(folder), dtype, Effort(warmup_runs=50, num_runs=runs))
            samples |= _peer(python, Path(folder) / "model.onnx", dtype, runs)
        results += results_of(QUESTION, dtype, samples)
    return results


def _peer(python: str, model: Path, dtype: str, runs: int) -> dict[str, list[float]]:
    done = subprocess.run(
        [python, str(SCRIPT), str(model), dtype, str(runs)],
        capture_output=True,
        check=True,
        timeout=TIMEOUT_S,
    )
    samples: dict[str, list[float]] = json.loads(done.stdout)
    return samples
