"""A detector all the way: trained on composed scenes of real digits, converted, judged by mAP."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from converters.report import ConversionReport
from edgekit import codec
from edgekit.bundle import open_bundle
from edgekit.detection import detect
from edgekit.preprocessing import prepare
from edgekit.runtime import open_session
from edgekit.verdict import Verdict
from tests.integration.convert_detector import CLASSES, SIDE, scenes, trained

pytestmark = pytest.mark.integration
CHECKOUT = Path(__file__).resolve().parents[2]
HELD_OUT = 150
PREPROCESSING = json.dumps({"height": SIDE, "width": SIDE, "scale": 1 / 255})
POSTPROCESSING = json.dumps(
    {"task": "detection", "score_threshold": 0.1, "iou_threshold": 0.5, "max_detections": 10}
)


@dataclass(frozen=True)
class Converted:
    """What the command made."""

    out: Path
    report: ConversionReport


@pytest.fixture(scope="module")
def folder(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train for some seconds; scenes that are held out hold digits that were never seen."""
    folder = tmp_path_factory.mktemp("detector")
    with np.load(test_data / "mnist" / "mnist_8k.npz") as data:
        known = data["labels"] < CLASSES
        digits, labels = data["images"][known], data["labels"][known]
    images, boxes = scenes(digits[:2400], labels[:2400], 800, seed=0)
    torch.save(trained(images, boxes, epochs=10), folder / "weights.pt")
    np.savez(folder / "calibration.npz", images=images[:100])
    images, boxes = scenes(digits[2400:], labels[2400:], HELD_OUT, seed=1)
    np.savez(folder / "held-out.npz", images=images, targets=boxes)
    np.savez(folder / "few.npz", images=images[:12], targets=boxes[:12])
    return folder


def edgekit(folder: Path, out: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "edgekit.cli", "convert"),
            *("tests.integration.convert_detector:detector", "--weights", f"{folder}/weights.pt"),
            *("--model", "digits", "--version", "1.0.0", "--metric", "map", "--labels", "0,1,2,3"),
            *("--preprocessing", PREPROCESSING, "--postprocessing", POSTPROCESSING),
            *("--calibration", f"{folder}/calibration.npz", "--out", f"{folder}/{out}"),
            *("--golden", "4", "--allow-slower", "--json", *words),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        cwd=CHECKOUT,
    )


@pytest.fixture(scope="module")
def converted(folder: Path) -> Converted:
    done = edgekit(
        *(folder, "out", "--evaluation", f"{folder}/held-out.npz", "--max-accuracy-drop", "5"),
        *("--target", "onnx-int8,tflite-int8"),
    )
    assert done.returncode == 0, done.stderr
    report = codec.decode(done.stdout.encode(), ConversionReport, where="report")
    return Converted(folder / "out", report)


def test_the_loss_of_mean_average_precision_keeps_its_budget(converted: Converted):
    source = converted.report.source
    assert (source.metric, source.samples) == ("map", HELD_OUT)
    assert source.accuracy is not None
    assert source.accuracy > 0.45
    for told in converted.report.variants:
        passed = told.attempts[-1]
        assert passed.verdict is Verdict.PASS
        assert told.accuracy is not None
        assert passed.drop is not None
        assert passed.drop == pytest.approx(100 * (source.accuracy - told.accuracy), abs=1e-6)
        assert passed.low is not None
        assert passed.high is not None
        assert passed.low < passed.drop < passed.high <= 5.0


@pytest.mark.parametrize("variant", ["onnx-int8", "tflite-int8"])
def test_a_device_finds_the_digits_by_what_the_bundle_says(
    folder: Path, converted: Converted, tmp_path: Path, variant: str
):
    bundle = open_bundle(converted.out / f"digits-1.0.0-{variant}.bundle")
    bundle.extract(tmp_path)
    manifest = bundle.manifest
    spec = manifest.postprocessing
    assert spec is not None
    assert json.loads(POSTPROCESSING).items() <= codec.plain(spec).items()
    session = open_session(tmp_path / manifest.file, manifest.format)
    hits: list[bool] = []
    with np.load(folder / "held-out.npz") as held_out:
        for image, targets in zip(held_out["images"], held_out["targets"], strict=True):
            outputs = session.run([prepare(image, manifest.preprocessing)])
            found = detect(outputs, manifest.labels, spec)
            assert len(found) <= spec.max_detections
            assert not any(
                a.label == b.label and overlap(a.box, b.box) > spec.iou_threshold + 1e-6
                for a, b in itertools.combinations(found, 2)
            )
            hits += [
                any(f.label == str(int(row[0])) and overlap(f.box, row[1:]) > 0.5 for f in found)
                for row in targets[targets[:, 0] >= 0]
            ]
    assert np.mean(hits) > 0.7


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the intersection of two boxes over their union."""
    width, height = (min(one[2 + i], other[2 + i]) - max(one[i], other[i]) for i in (0, 1))
    shared = max(0.0, width) * max(0.0, height)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return float(shared / (areas - shared))


def test_too_few_scenes_are_no_pass_and_say_how_many_are_missing(folder: Path):
    done = edgekit(
        *(folder, "unsure", "--evaluation", f"{folder}/few.npz", "--max-accuracy-drop", "0.01"),
        *("--target", "onnx-int8-int16"),
    )
    assert done.returncode == 3, done.stderr
    line = done.stderr.splitlines()[-1]
    assert "too few samples to say whether the loss is within 0.01" in line
    assert not (folder / "unsure").exists()
