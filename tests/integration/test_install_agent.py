"""What a device installs: light, complete, and there for ARM too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit import __version__
from tests.integration.installing import (
    make_venv,
    pip_install,
    requirements,
    run,
    sizes_beside,
    sources,
)

pytestmark = [pytest.mark.integration, pytest.mark.slow]

# What a device with glibc 2.28 accepts, newest first.
ARM_PLATFORMS = (
    "manylinux_2_28_aarch64",
    "manylinux_2_27_aarch64",
    "manylinux_2_17_aarch64",
    "manylinux2014_aarch64",
)
HEAVY = {"torch", "onnx", "onnxscript", "fastapi", "pydantic", "typer", "rich", "sqlalchemy"}
MOST_BYTES = 30 << 20
"""Of the agent on disk, byte code and all, above the wheels of its runtimes and what they need."""


def test_the_pins_of_the_agent_resolve_for_64_bit_arm(tmp_path: Path):
    platforms = [word for name in ARM_PLATFORMS for word in ("--platform", name)]
    pip_install(
        Path(sys.executable),
        *("--dry-run", "--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11"),
        *platforms,
        *("--target", str(tmp_path / "target")),
        *requirements("agent"),
    )


def test_the_agent_installs_light_and_runs(tmp_path: Path):
    source = sources(tmp_path / "source")
    python = make_venv(tmp_path / "venv")
    pip_install(python, f"{source}[agent]")
    listed = run(
        [str(python), "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"]
    )
    installed = {line.partition("==")[0].lower() for line in listed.splitlines()}
    assert {"edgekit", "onnxruntime", "ai-edge-litert", "tuf"} <= installed
    assert installed & HEAVY == set()
    assert "usage: edgekit-agent" in run([str(python.with_name("edgekit-agent")), "--help"])
    assert __version__ in run([str(python.with_name("edgekit-agent")), "--version"])
    _check_command_without_cli(python)
    sizes = sizes_beside(python, "onnxruntime", "ai-edge-litert")
    print(sum(sizes.values()), sizes)
    assert {"edgekit", "cryptography"} <= set(sizes)
    assert sum(sizes.values()) <= MOST_BYTES


def _check_command_without_cli(python: Path) -> None:
    """`edgekit` without its extra is one line with the pip command."""
    done = subprocess.run(
        [str(python.with_name("edgekit")), "--help"],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode == 16
    assert "pip install 'edgekit[cli]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
