"""Precisions, the budget as a contract, the ladder: on MNIST, and a network skewed on purpose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from converters.choice import Objective
from converters.given import package_given
from converters.pipeline import convert
from converters.plan import ConversionPlan
from converters.profiles import read_profile
from converters.quantize import INT8, Limits
from converters.report import VariantReport
from converters.targets.onnx import TARGET
from edgekit.bundle import open_bundle
from edgekit.device import DeviceProfile, pick_variant
from edgekit.errors import BudgetError, InconclusiveError
from edgekit.manifest import Precision, Preprocessing
from edgekit.verdict import Verdict
from tests.integration.convert_models import coarse, skewed

pytestmark = pytest.mark.integration
MODELS = "tests.integration.convert_models"


@pytest.fixture(scope="module")
def mnist(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mnist")
    with np.load(test_data / "mnist" / "mnist_8k.npz") as data:
        images, labels = data["images"], data["labels"]
    np.savez(folder / "held-out.npz", images=images[:2000], labels=labels[:2000])
    np.savez(folder / "few.npz", images=images[:100], labels=labels[:100])
    np.savez(folder / "calibration.npz", images=images[2000:2128])
    return folder


def mnist_plan(test_data: Path, folder: Path, out: Path, **changes: Any) -> ConversionPlan:
    given: dict[str, Any] = {
        "source": str(test_data / "ort_examples" / "mnist.onnx"),
        "model": "mnist",
        "version": "1",
        "variants": ("onnx-int8",),
        "preprocessing": Preprocessing(height=28, width=28),
        "calibration": folder / "calibration.npz",
        "evaluation": folder / "held-out.npz",
        "allow_slower": True,
        "out": out,
    }
    return ConversionPlan(**{**given, **changes})


@pytest.mark.parametrize(
    ("variant", "precision", "sqnr_db"),
    [
        ("onnx-fp16", Precision.FP16, 50),
        ("onnx-int8", Precision.INT8, 25),
        ("onnx-int8-dynamic", Precision.INT8, 20),
        ("onnx-int8-int16", Precision.INT8_INT16, 30),
    ],
)
def test_an_onnx_file_of_an_old_opset_is_converted_to_every_precision(
    test_data: Path, mnist: Path, tmp_path: Path, variant: str, precision: Precision, sqnr_db: float
):
    made = mnist_plan(test_data, mnist, tmp_path / "out", variants=(variant,))
    (told,) = convert(made).variants
    assert told.sqnr_db > sqnr_db
    assert told.accuracy is not None
    assert told.accuracy > 0.98
    manifest = open_bundle(tmp_path / "out" / told.bundle).manifest
    assert manifest.precision is precision


def test_a_loss_within_the_budget_passes_at_the_first_rung(
    test_data: Path, mnist: Path, tmp_path: Path
):
    made = mnist_plan(test_data, mnist, tmp_path / "out", max_accuracy_drop=1.0)
    (told,) = convert(made).variants
    assert [(a.rung, a.verdict) for a in told.attempts] == [("min-max", Verdict.PASS)]


def test_too_few_samples_are_no_pass_and_say_how_many_are_missing(
    test_data: Path, mnist: Path, tmp_path: Path
):
    made = mnist_plan(
        test_data,
        mnist,
        tmp_path / "out",
        variants=("onnx-int8-int16",),
        evaluation=mnist / "few.npz",
        max_accuracy_drop=0.5,
    )
    with pytest.raises(InconclusiveError, match=r"evaluate on \d+ more samples") as caught:
        convert(made)
    assert caught.value.exit_code == 3
    assert not made.out.exists()


@pytest.fixture(scope="module")
def skewed_plan(tmp_path_factory: pytest.TempPathFactory) -> ConversionPlan:
    """Label random strokes by the skewed network itself, so that its own accuracy is 1."""
    folder = tmp_path_factory.mktemp("skewed")
    images = np.random.default_rng(0).integers(0, 17, (1064, 8, 8), dtype=np.uint8)
    torch.manual_seed(0)
    model = skewed().eval()
    torch.save(model.state_dict(), folder / "w.pt")
    with torch.inference_mode():
        scores = model(torch.from_numpy(images[:, None] / np.float32(16)))
    labels = scores.argmax(1).numpy()
    np.savez(folder / "held-out.npz", images=images[:1000], labels=labels[:1000])
    np.savez(folder / "calibration.npz", images=images[1000:])
    return ConversionPlan(
        source=f"{MODELS}:tiny",
        weights=folder / "w.pt",
        model="skewed",
        version="1",
        variants=("onnx-int8",),
        preprocessing=Preprocessing(height=8, width=8, scale=1 / 16),
        calibration=folder / "calibration.npz",
        evaluation=folder / "held-out.npz",
        allow_slower=True,
        out=folder / "out",
    )


def test_the_ladder_climbs_until_the_budget_is_kept(skewed_plan: ConversionPlan):
    (told,) = convert(replace(skewed_plan, max_accuracy_drop=2.0)).variants
    verdicts = [attempt.verdict for attempt in told.attempts]
    assert verdicts[0] is Verdict.FAIL
    assert verdicts[-1] is Verdict.PASS
    assert Verdict.PASS not in verdicts[:-1]
    assert told.accuracy is not None
    assert told.accuracy > 0.98


@pytest.mark.parametrize(
    ("rung", "worse_by_db"),
    [("equalisation", 10.0), ("equalisation, bias correction", 10.0)],
)
def test_on_a_skewed_network_equalisation_gains_what_min_max_loses(
    skewed_plan: ConversionPlan,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rung: str,
    worse_by_db: float,
):
    def sqnr_db(name: str) -> float:
        made = replace(skewed_plan, out=tmp_path / name.replace(" ", "-"))
        return signal_of(name, made, monkeypatch)

    assert sqnr_db(rung) > sqnr_db("min-max") + worse_by_db


def test_on_a_network_skewed_to_coarse_steps_bias_correction_alone_gains_what_rounding_shifts(
    skewed_plan: ConversionPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    torch.manual_seed(0)
    torch.save(coarse().eval().state_dict(), tmp_path / "w.pt")
    made = replace(skewed_plan, weights=tmp_path / "w.pt", metric="parity")
    plain = signal_of("mse", replace(made, out=tmp_path / "plain"), monkeypatch)
    gained = signal_of("mse, bias correction", replace(made, out=tmp_path / "b"), monkeypatch)
    assert gained > plain + 5.0


def test_the_layer_that_costs_most_is_the_one_that_stays_in_float(
    skewed_plan: ConversionPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The last layer of the network skewed to coarse steps; the convolution before it is stored."""
    torch.manual_seed(0)
    torch.save(coarse().eval().state_dict(), tmp_path / "w.pt")
    made = replace(skewed_plan, weights=tmp_path / "w.pt", metric="parity")
    plain = signal_of("min-max", replace(made, out=tmp_path / "plain"), monkeypatch)
    rung = "the most sensitive 10% of the layers in float"
    assert signal_of(rung, replace(made, out=tmp_path / "mixed"), monkeypatch) > plain + 5.0
    (path,) = (tmp_path / "mixed").glob("*.bundle")
    bundle = open_bundle(path)
    assert bundle.manifest.precision is Precision.MIXED
    model = onnx.load_from_string(bundle.read("model.onnx"))
    dtypes = {t.name: t.data_type for t in model.graph.initializer}
    stored = {n.output[0]: dtypes.get(n.input[0]) for n in model.graph.node}
    weights = {
        node.op_type: stored.get(node.input[1], dtypes.get(node.input[1]))
        for node in model.graph.node
        if node.op_type in {"Conv", "Gemm"}
    }
    assert weights == {"Conv": onnx.TensorProto.INT8, "Gemm": onnx.TensorProto.FLOAT}


def signal_of(rung: str, plan: ConversionPlan, monkeypatch: pytest.MonkeyPatch) -> float:
    """Return the SQNR of int8 by one rung alone, dB, however bad it is."""
    (one,) = (r for r in INT8.rungs if r.name == rung)
    free = Limits(relative_diff=9.0, sqnr_db=-99.0, agreement=0.0, golden_diff=4 / 255)
    monkeypatch.setattr(TARGET, "recipes", (replace(INT8, rungs=(one,), limits=free),))
    cache = plan.evaluation.parent / "cache"
    return convert(replace(plan, cache=cache)).variants[0].sqnr_db


def test_a_slower_quantized_variant_is_left_out_unless_it_is_allowed(
    test_data: Path, mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = mnist_plan(test_data, mnist, tmp_path / "out", variants=("onnx-fp32", "onnx-int8-int16"))
    report = convert(replace(made, allow_slower=False))
    assert report.rejected == ("onnx-int8-int16",)
    assert names(report.variants) == ["onnx-fp32"]
    assert "slower here than onnx-fp32" in report.notes[0]
    assert sorted(p.name for p in made.out.glob("*.bundle")) == ["mnist-1-onnx-fp32.bundle"]
    allowed = convert(replace(made, out=tmp_path / "allowed"))
    assert names(allowed.variants) == ["onnx-fp32", "onnx-int8-int16"]


@pytest.mark.parametrize("objective", list(Objective))
def test_an_objective_orders_what_devices_prefer(
    test_data: Path, mnist: Path, tmp_path: Path, objective: Objective
):
    made = mnist_plan(
        test_data,
        mnist,
        tmp_path / "out",
        variants=("onnx-fp32", "onnx-int8"),
        objective=objective,
        cache=mnist / "cache",
    )
    report = convert(made)
    by = {
        Objective.SIZE: lambda v: v.model_bytes,
        Objective.LATENCY: lambda v: v.median_ms,
    }[objective]
    best = min(report.variants, key=by)
    assert report.picked == best.variant
    assert best.front
    manifests = [open_bundle(made.out / v.bundle).manifest for v in report.variants]
    box = DeviceProfile(arch="x86_64", runtimes={"onnxruntime": "1.31.1"})
    picked = pick_variant(manifests, box)
    assert picked is not None
    assert picked.variant == best.variant
    assert all(v.peak_mb is not None and v.peak_mb > 10 for v in report.variants)


@pytest.mark.parametrize(
    ("profile", "kind", "widest", "restricted"),
    [
        ("x86-64-avx2", "uint8", 64, ()),
        ("x86-64-vnni", "uint8", 127, None),
        ("raspberry-pi-5", "int8", 127, ()),
    ],
)
def test_the_profile_chooses_the_arithmetic(
    test_data: Path,
    mnist: Path,
    tmp_path: Path,
    profile: str,
    kind: str,
    widest: int,
    restricted: tuple[str, ...] | None,
):
    made = mnist_plan(test_data, mnist, tmp_path / "out", profiles=(read_profile(profile),))
    (told,) = convert(made).variants
    bundle = open_bundle(made.out / told.bundle)
    model = onnx.load_from_string(bundle.read("model.onnx"))
    to_array = onnx.numpy_helper.to_array
    stored = {t.name: to_array(t) for t in model.graph.initializer}
    zero = next(stored[n.input[2]] for n in model.graph.node if n.op_type == "QuantizeLinear")
    weights = [v for n, v in stored.items() if n.endswith("_quantized") and v.dtype == np.int8]
    assert zero.dtype.name == kind
    assert max(int(np.abs(w.astype(int)).max()) for w in weights) == widest
    if restricted is not None:
        assert bundle.manifest.requires.instruction_sets == restricted


def test_a_ready_made_file_that_saturates_is_for_vnni_only(
    test_data: Path, mnist: Path, tmp_path: Path
):
    """Written with full 8-bit weights and inputs so bright that pairs of products overflow."""
    made = mnist_plan(test_data, mnist, tmp_path / "out", profiles=(read_profile("x86-64-vnni"),))
    (told,) = convert(made).variants
    file = tmp_path / "vendor.onnx"
    file.write_bytes(open_bundle(made.out / told.bundle).read("model.onnx"))
    given = replace(made, source=str(file), variants=("auto",), out=tmp_path / "given", profiles=())
    report = package_given(given)
    manifest = open_bundle(given.out / report.variants[0].bundle).manifest
    simulated = [note for note in report.notes if "simulated" in note]
    assert (manifest.requires.instruction_sets == ("vnni",)) == any(
        "only for processors" in note for note in simulated
    )
    assert manifest.requires.instruction_sets == (
        open_bundle(made.out / told.bundle).manifest.requires.instruction_sets
    )


def test_a_budget_that_no_rung_keeps_leaves_no_bundle(
    skewed_plan: ConversionPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made = replace(skewed_plan, variants=("onnx-int8",), max_accuracy_drop=0.0, out=tmp_path / "o")
    ladder = replace(INT8, rungs=INT8.rungs[:2])
    monkeypatch.setattr(TARGET, "recipes", (ladder,), raising=False)
    with pytest.raises(BudgetError, match="onnx-int8: no rung keeps the loss within 0") as caught:
        convert(made)
    assert caught.value.exit_code == 1
    assert "min-max: does not compute" in str(caught.value)
    assert not made.out.exists()


def names(told: tuple[VariantReport, ...]) -> list[str]:
    return [v.variant for v in told]


def test_every_tflite_precision_is_proven(skewed_plan: ConversionPlan, tmp_path: Path):
    asked = (
        *("tflite-fp16", "tflite-int8", "tflite-int8-io", "tflite-int8-int16"),
        "tflite-int8-dynamic",
    )
    plain = replace(skewed_plan, weights=None, variants=asked, out=tmp_path / "o", metric="parity")
    report = convert(plain)
    assert names(report.variants) == list(asked)
    floors = dict(zip(asked, (50, 20, 20, 30, 20), strict=True))
    assert {v.variant: v.sqnr_db for v in report.variants if v.sqnr_db < floors[v.variant]} == {}
    whole = open_bundle(tmp_path / "o" / report.variants[2].bundle).manifest
    assert whole.inputs[0].dtype == "int8"
    dynamic = open_bundle(tmp_path / "o" / report.variants[4].bundle).manifest
    assert [r.name for r in dynamic.requires.runtimes] == ["litert"]
