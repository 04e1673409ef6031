"""The page about conversion: its example runs, and the interface has the words of the command."""

import inspect
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from converters import api, cli

pytestmark = pytest.mark.integration
CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs" / "conversion.md").read_text()
NET = """
import torch

def digits():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
"""


def test_the_example_runs(tmp_path: Path):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    images = np.random.default_rng(0).integers(0, 17, (120, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "calibration.npz", images=images[:80])
    np.savez(tmp_path / "heldout.npz", images=images[80:])
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "example.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "example.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{CHECKOUT}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "80 ()"
    assert "onnx-int8" in done.stdout
    assert (tmp_path / "release" / "report.html").exists()


def test_every_option_of_the_command_is_a_field_of_the_plan():
    words = {
        "target": "variants",
        "profile": "profiles",
        "input_": "inputs",
        "golden": "golden_count",
    }
    words |= {"no_cache": "cache", "parameters": "parameters_schema"}
    plan = {field.name for field in fields(api.ConversionPlan)}
    options = set(inspect.signature(cli.convert).parameters) - {"as_json"}
    assert {words.get(option, option) for option in options} <= plan


def test_everything_that_is_exported_is_there_and_documented():
    for name in api.__all__:
        assert getattr(api, name).__doc__ or name == "Watch"
