"""The agent's main process stays light: what it imports, seen in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numpy", "onnxruntime", "ai_edge_litert", "tuf", "cryptography", "cv2", "torch", "onnx")


def imported(module: str) -> set[str]:
    program = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["device_agent.agent", "device_agent.__main__"])
def test_the_agent_loads_no_runtime_no_numpy_and_no_tuf(module: str) -> None:
    assert not imported(module) & set(HEAVY)


def test_the_worker_loads_no_tuf() -> None:
    found = imported("device_agent.worker.__main__")
    assert "numpy" in found
    assert not found & {"tuf", "cryptography", "torch", "onnxruntime", "cv2"}
