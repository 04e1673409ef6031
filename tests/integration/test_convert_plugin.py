"""A package that somebody else installs brings a target, found by its entry point alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgekit.bundle import open_bundle

pytestmark = pytest.mark.integration
CHECKOUT = Path(__file__).resolve().parents[2]
TARGET = """
from dataclasses import replace
from converters.quantize import FP32
from converters.targets.onnx import OnnxTarget

class Theirs(OnnxTarget):
    name = "theirs"
    recipes = (replace(FP32, name="plain"),)

TARGET = Theirs()
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Lay a package out as pip does."""
    folder = tmp_path / "site"
    info = folder / "theirs-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[edgekit.targets]\ntheirs = theirs_target:TARGET\n")
    (folder / "theirs_target.py").write_text(TARGET)
    return folder


def test_a_third_party_s_target_converts(site: Path, tmp_path: Path):
    images = np.random.default_rng(0).integers(0, 17, (40, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "s.npz", images=images, labels=np.arange(40) % 10)
    words = [sys.executable, "-m", "edgekit.cli", "convert"]
    words += ["tests.integration.convert_models:tiny", "--model", "m", "--version", "1"]
    words += ["--preprocessing", '{"height": 8, "width": 8, "scale": 0.0625}']
    words += ["--evaluation", str(tmp_path / "s.npz"), "--out", str(tmp_path / "out")]
    words += ["--target", "theirs-plain", "--allow-slower"]
    paths = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        words,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr
    manifest = open_bundle(tmp_path / "out" / "m-1-theirs-plain.bundle").manifest
    assert manifest.variant == "theirs-plain"
