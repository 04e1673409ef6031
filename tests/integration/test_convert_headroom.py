"""Ranges of activations that held-out samples exceed are told, by tensor, and by a resumed run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from converters.pipeline import convert
from converters.plan import ConversionPlan
from converters.report import ConversionReport
from edgekit.manifest import Preprocessing
from tests.integration.convert_models import tiny

pytestmark = pytest.mark.integration
RNG = np.random.default_rng(0)
COUNT = 80
VARIANTS = ("onnx-int8", "tflite-int8")


def boards(bright: int) -> np.ndarray:
    """Return chessboards of 0 and 16, [80, 8, 8]; every tenth is all bright but for one row.

    Every pixel of both kinds is 0 or 16, so the inputs have one range; only sums tell them
    apart, and all weights are positive.

    Args:
        bright: Which of ten samples is bright, from 0.
    """
    dark = RNG.integers(0, 2, (COUNT, 8, 1), dtype=np.uint8)
    images = (np.indices((8, 8)).sum(axis=0) + dark) % 2
    images[bright::10] = 1
    images[np.arange(COUNT), RNG.integers(0, 8, COUNT), RNG.integers(0, 8, COUNT)] = 0
    return np.asarray(images * 16, np.uint8)


def plan(folder: Path, bright: int) -> ConversionPlan:
    torch.manual_seed(0)
    weights = {key: value.abs() for key, value in tiny().state_dict().items()}
    torch.save(weights, folder / "w.pt")
    np.savez(folder / "calibration.npz", images=boards(bright))
    np.savez(folder / "held-out.npz", images=RNG.integers(0, 17, (20, 8, 8), dtype=np.uint8))
    return ConversionPlan(
        source="tests.integration.convert_models:tiny",
        weights=folder / "w.pt",
        model="m",
        version="1",
        variants=VARIANTS,
        metric="parity",
        preprocessing=Preprocessing(height=8, width=8, scale=1 / 16),
        calibration=folder / "calibration.npz",
        evaluation=folder / "held-out.npz",
        out=folder / "out",
        cache=folder / "cache",
        allow_slower=True,
    )


def too_narrow(report: ConversionReport) -> list[str]:
    return [note for note in report.notes if "ranges may be too narrow" in note]


def test_activations_that_only_held_out_samples_reach_are_named(tmp_path: Path):
    made = plan(tmp_path, bright=9)
    report = convert(made)
    assert report.calibration is not None
    assert report.calibration.warnings == ()
    told = too_narrow(report)
    assert [line.partition(":")[0] for line in told] == list(VARIANTS)
    assert "output (" in told[0]
    assert "max_pool2d (" in told[0]
    assert "getitem" not in told[0]  # what a ReLU alone reads is stored after it
    assert "serving_default_output_0_output (" in told[1]
    again = convert(replace(made, out=tmp_path / "again"))
    assert too_narrow(again) == told


def test_the_same_samples_in_another_order_are_no_reason_to_warn(tmp_path: Path):
    made = plan(tmp_path, bright=0)
    assert too_narrow(convert(replace(made, variants=("onnx-int8",)))) == []
