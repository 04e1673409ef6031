"""What a source may be: exported programs, several inputs, whole numbers, sizes that vary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from converters.pipeline import convert
from converters.plan import ConversionPlan, parse_input
from edgekit.bundle import open_bundle
from edgekit.errors import SourceError, TargetError, UsageError
from edgekit.manifest import Preprocessing
from tests.integration.convert_models import tiny

pytestmark = pytest.mark.integration
MODELS = "tests.integration.convert_models"
RNG = np.random.default_rng(0)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    raw = RNG.integers(0, 17, (40, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "s.npz", images=raw, labels=np.arange(40) % 10)
    return tmp_path / "s.npz"


@pytest.fixture
def words(tmp_path: Path) -> Path:
    x, which = RNG.normal(size=(40, 8)).astype(np.float32), RNG.integers(0, 5, (40, 1, 4))
    np.savez(tmp_path / "w.npz", images=x, which=which, labels=np.arange(40) % 3)
    return tmp_path / "w.npz"


def plan(evaluation: Path, **changes: Any) -> ConversionPlan:
    given: dict[str, Any] = {
        "source": f"{MODELS}:tiny",
        "model": "m",
        "version": "1",
        "variants": ("onnx-fp32",),
        "evaluation": evaluation,
        "out": evaluation.parent / "out",
    }
    return ConversionPlan(**{**given, **changes})


def model_of(made: ConversionPlan) -> onnx.ModelProto:
    (path,) = made.out.glob("*.bundle")
    return onnx.load_from_string(open_bundle(path).read("model.onnx"))


@pytest.fixture
def program(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    exported = torch.export.export(tiny().eval(), (torch.zeros(1, 1, 8, 8),))
    torch.export.save(exported, tmp_path / "tiny.pt2")
    return tmp_path / "tiny.pt2"


@pytest.mark.parametrize("variant", ["onnx-fp32", "tflite-fp32"])
def test_an_exported_program_is_converted(images: Path, program: Path, variant: str):
    spec = Preprocessing(height=8, width=8, scale=1 / 16)
    made = plan(images, source=str(program), preprocessing=spec, variants=(variant,))
    report = convert(made)
    assert report.variants[0].sqnr_db > 100


def test_a_file_that_is_no_program_is_refused(images: Path, tmp_path: Path):
    torch.save(tiny().state_dict(), tmp_path / "w.pt2")
    with pytest.raises(SourceError, match=r"w\.pt2: is no exported program"):
        convert(plan(images, source=str(tmp_path / "w.pt2")))


@pytest.mark.parametrize("variant", ["onnx-fp32", "tflite-fp32"])
def test_several_inputs_and_whole_numbers_are_converted(words: Path, variant: str):
    inputs = (parse_input("x=1x8"), parse_input("which=1x4:int64"))
    made = plan(words, source=f"{MODELS}:Words", inputs=inputs, variants=(variant,))
    report = convert(made)
    assert report.variants[0].sqnr_db > 100
    (path,) = made.out.glob("*.bundle")
    assert open_bundle(path).manifest.features == ("several-inputs",)


def test_an_input_that_a_file_does_not_have_is_named(images: Path, program: Path):
    made = plan(images, source=str(program), inputs=(parse_input("image=1x1x8x8"),))
    with pytest.raises(SourceError, match=r"tiny\.pt2: has no input image; its inputs are input$"):
        convert(made)


def test_an_input_without_samples_is_named(images: Path):
    inputs = (parse_input("x=1x8x8:uint8"), parse_input("which=1x4:int64"))
    with pytest.raises(Exception, match=r"s\.npz: has no array for the input which"):
        convert(plan(images, source=f"{MODELS}:Words", inputs=inputs))


def test_a_size_may_vary_and_is_proven_at_both_ends(words: Path):
    inputs = (parse_input("x=batchx8"), parse_input("which=batchx4:int64"))
    made = plan(words, source=f"{MODELS}:Words", inputs=inputs, dynamic={"batch": (1, 6)})
    convert(made)
    session = onnxruntime.InferenceSession(model_of(made).SerializeToString())
    feed = {"x": np.zeros((5, 8), np.float32), "which": np.zeros((5, 4), np.int64)}
    assert session.run(None, feed)[0].shape == (5, 3)


def test_a_size_that_forward_fixes_is_named_with_its_line(words: Path):
    made = plan(
        words,
        source=f"{MODELS}:Fixed",
        inputs=(parse_input("x=batchx8"), parse_input("which=batchx4:int64")),
        dynamic={"batch": (1, 6)},
    )
    with pytest.raises(
        SourceError, match=r"convert_models\.py:\d+: torch cannot capture"
    ) as caught:
        convert(made)
    assert "without fixed sizes where batch may vary" in str(caught.value)


def test_tflite_takes_no_size_that_varies(words: Path):
    inputs = (parse_input("x=batchx8"), parse_input("which=batchx4:int64"))
    made = plan(
        words,
        source=f"{MODELS}:Words",
        inputs=inputs,
        dynamic={"batch": (1, 6)},
        variants=("tflite-fp32",),
    )
    with pytest.raises(TargetError, match="fixed sizes, batch may vary; leave out --dynamic"):
        convert(made)


def test_a_state_that_is_no_input_is_refused(words: Path):
    inputs = (parse_input("x=1x8"), parse_input("which=1x4:int64"))
    with pytest.raises(UsageError, match="h is no input after the first"):
        convert(plan(words, source=f"{MODELS}:Words", inputs=inputs, state=(("h", "output"),)))
