"""8-bit weights on recurrent networks: what they cost and leave alone, what is told of speed.

Only the linear layers become 8-bit; GRU and LSTM stay float on ONNX Runtime.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from converters.choice import Objective
from converters.pipeline import convert
from converters.plan import ConversionPlan, parse_input
from converters.report import ConversionReport
from edgekit.bundle import open_bundle
from edgekit.errors import TargetError

pytestmark = pytest.mark.integration
MODELS = "tests.integration.convert_models"
FLOAT, DYNAMIC, STATIC = "onnx-fp32", "onnx-int8-dynamic", "onnx-int8"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> ConversionPlan:
    """Answer walks of 20 steps, so that a state means something."""
    folder = tmp_path_factory.mktemp("recurrent")
    steps = np.random.default_rng(0).normal(size=(240, 20, 16))
    walks = np.cumsum(steps, axis=1).astype(np.float32)
    np.savez(folder / "held-out.npz", images=walks[:200])
    np.savez(folder / "calibration.npz", images=walks[200:])
    return ConversionPlan(
        source=f"{MODELS}:gru",
        model="rows",
        version="1",
        variants=(FLOAT, DYNAMIC, STATIC),
        inputs=(parse_input("x=1x20x16"),),
        calibration=folder / "calibration.npz",
        evaluation=folder / "held-out.npz",
        metric="agreement",
        allow_slower=True,
        out=folder / "out",
        cache=folder / "cache",
    )


def seen_as_slower(report: ConversionReport) -> set[str]:
    """Return the variants whose median is above the float file's, intervals and all."""
    high_ms = next(v.median_high_ms for v in report.variants if v.variant == FLOAT)
    return {v.variant for v in report.variants if v.median_low_ms > high_ms}


@pytest.mark.parametrize(("net", "layer"), [("gru", "GRU"), ("lstm", "LSTM")])
def test_a_recurrent_network_keeps_its_answers_and_its_recurrent_layers_stay_float(
    plan: ConversionPlan, tmp_path: Path, net: str, layer: str
):
    report = convert(replace(plan, source=f"{MODELS}:{net}", out=tmp_path / "out"))
    told = {v.variant: v for v in report.variants}
    assert told[DYNAMIC].sqnr_db > 35
    assert told[DYNAMIC].agreement > 0.98
    assert told[DYNAMIC].sqnr_db > told[STATIC].sqnr_db
    model = onnx.load_from_string(
        open_bundle(tmp_path / "out" / told[DYNAMIC].bundle).read("model.onnx")
    )
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count(layer) == 2
    assert kinds.count("MatMulInteger") == 1


def test_what_is_slower_than_its_float_on_a_recurrent_network_is_told_even_where_it_is_allowed(
    plan: ConversionPlan, tmp_path: Path
):
    report = convert(replace(plan, out=tmp_path / "out"))
    warned = {note.split()[0] for note in report.notes if "is slower here than" in note}
    assert warned == seen_as_slower(report)


def test_on_a_recurrent_network_no_int8_that_is_slower_than_its_float_is_bundled_or_picked(
    plan: ConversionPlan, tmp_path: Path
):
    made = replace(plan, allow_slower=False, objective=Objective.LATENCY, out=tmp_path / "out")
    report = convert(made)
    kept = {v.variant for v in report.variants}
    assert kept | set(report.rejected) == set(plan.variants)
    assert seen_as_slower(report) == set()
    warned = {note.split()[0] for note in report.notes if "is slower here than" in note}
    assert warned == set(report.rejected)
    picked = next(v for v in report.variants if v.variant == report.picked)
    fastest = min(report.variants, key=lambda v: v.median_ms)
    assert picked.median_low_ms <= fastest.median_high_ms
    assert len(list(made.out.glob("*.bundle"))) == len(kept)


def test_a_recurrent_network_without_a_matrix_product_has_nothing_to_gain_and_is_refused(
    plan: ConversionPlan, tmp_path: Path
):
    made = replace(plan, source=f"{MODELS}:gru_alone", variants=(DYNAMIC,), out=tmp_path / "out")
    with pytest.raises(TargetError, match="nothing to gain from int8-dynamic here") as caught:
        convert(made)
    assert caught.value.exit_code == 12
    assert not made.out.exists()
