"""Every published model of the test data is converted or packaged, or refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.given import package_given
from converters.pipeline import convert
from converters.plan import ConversionPlan, parse_input
from edgekit.bundle import open_bundle
from edgekit.errors import EdgeKitError, SourceError, TargetError
from edgekit.golden import check_golden, read_golden
from edgekit.manifest import Preprocessing
from edgekit.runtime import open_session
from tests.integration.convert_real import patches, spectra, speech, tables

pytestmark = pytest.mark.integration
NETS = "tests.integration.convert_real"
SEEN = Preprocessing(height=32, width=32, channels=3, scale=1 / 255, mean=(0.5,), std=(0.5,))
Arrays = Callable[[Path], dict[str, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One published file and what becomes of it.

    Attributes:
        file: In the folder of test data.
        arrays: Real samples for it, by the folder.
        source: A factory; None names the file itself.
        plan: What else the plan says.
    """

    file: str
    arrays: Arrays
    source: str | None = None
    plan: dict[str, Any] = field(default_factory=dict)


def cut(size: int, *, dtype: type = np.uint8, scale: float = 1.0) -> Arrays:
    return lambda data: {"images": (patches(data / "coral", size, 24) * scale).astype(dtype)}


def digits(count: int = 200) -> Arrays:
    def arrays(data: Path) -> dict[str, np.ndarray]:
        mnist = np.load(data / "mnist/mnist_8k.npz")
        return {"images": mnist["images"][:count], "labels": mnist["labels"][:count]}

    return arrays


def spoken(data: Path) -> dict[str, np.ndarray]:
    return {"images": spectra(data / "fsdd/fsdd_5_speakers.npz", 24)}


AGREE = {"metric": "agreement"}
CONVERTED = [
    Case(
        file="captum_small/cifar_torchvision.pt",
        source=f"{NETS}:Cifar",
        arrays=cut(32),
        plan={**AGREE, "preprocessing": SEEN},
    ),
    Case(
        file="captum_small/california_model.pt",
        source=f"{NETS}:Housing",
        arrays=lambda _: {"images": tables(8, 24)},
        plan={"metric": "parity", "inputs": (parse_input("x=1x8"),)},
    ),
    Case(
        file="captum_small/titanic_model.pt",
        source=f"{NETS}:Titanic",
        arrays=lambda _: {"images": tables(12, 24)},
        plan={**AGREE, "inputs": (parse_input("x=1x12"),)},
    ),
    Case(
        file="resnet20_cifar10/resnet20-12fca82f.th",
        source=f"{NETS}:ResNet20",
        arrays=cut(32),
        plan={**AGREE, "preprocessing": SEEN},
    ),
    Case(
        file="ort_examples/mnist.onnx",
        arrays=digits(),
        plan={"preprocessing": Preprocessing(height=28, width=28)},
    ),
    Case(
        file="fastestdet/FastestDet.onnx",
        arrays=cut(352),
        plan={
            "metric": "parity",
            "preprocessing": Preprocessing(height=352, width=352, channels=3, scale=1 / 255),
        },
    ),
    Case(
        file="silero_vad/silero_vad_16k_op15.onnx",
        arrays=lambda data: {k: v[:300] for k, v in speech(data / "silero_vad").items()},
        plan={"metric": "parity", "state": (("state", "stateN"),)},
    ),
]
PACKAGED = [
    Case(file="coral/mobilenet_v1_0.25_128_quant.tflite", arrays=cut(128), plan=AGREE),
    Case(file="coral/tf2_mobilenet_v2_1.0_224_ptq.tflite", arrays=cut(224), plan=AGREE),
    Case(file="mlperf_tiny/kws_ref_model.tflite", arrays=spoken, plan=AGREE),
    Case(file="mlperf_tiny/kws_ref_model_float32.tflite", arrays=spoken, plan=AGREE),
    Case(file="mlperf_tiny/pretrainedResnet.tflite", arrays=cut(32, dtype=np.float32), plan=AGREE),
    Case(
        file="mlperf_tiny/pretrainedResnet_quant.tflite",
        arrays=cut(32, dtype=np.float32),
        plan=AGREE,
    ),
    *(
        Case(
            file=f"tflm/{name}.tflite",
            arrays=lambda data: {
                **digits()(data),
                "images": (digits()(data)["images"] / 255).astype(np.float32),
            },
        )
        for name in ("trained_lstm", "trained_lstm_int8")
    ),
    Case(
        file="ort_examples/mnist.onnx",
        arrays=digits(),
        plan={"preprocessing": Preprocessing(height=28, width=28)},
    ),
]
WAY_OUT = "name the factory, package.module:function, with --weights"
REFUSED = [
    ("tflm/person_detect.tflite", SourceError, "litert refuses it (quantized_dimension must be"),
    ("tflm/audio_preprocessor_int8.tflite", SourceError, "custom op: SignalWindow"),
    (
        "ort_examples/pytorch_superresolution_with_pre_post_processing_op18.onnx",
        TargetError,
        "com.microsoft.extensions:DecodeImage",
    ),
]
FASTESTDET = "fastestdet/weight_AP05:0.253207_280-epoch.pth"
TORCHSCRIPT = "silero_vad/silero_vad.jit"
ACCURACY = {"trained_lstm": 0.9, "trained_lstm_int8": 0.9, "mnist": 0.97}


def plan_of(case: Case, data: Path, folder: Path) -> ConversionPlan:
    np.savez(folder / "held-out.npz", **case.arrays(data))  # type: ignore[arg-type]
    path = data / case.file
    given: dict[str, Any] = {
        "source": case.source or str(path),
        "weights": path if case.source else None,
        "model": "m",
        "version": "1",
        "variants": ("onnx-fp32",),
        "evaluation": folder / "held-out.npz",
        "out": folder / "out",
        "golden_count": 4,
    }
    return ConversionPlan(**{**given, **case.plan})


def proves_itself(folder: Path) -> float | None:
    """Recompute the golden samples of the only bundle, as a device would."""
    (path,) = folder.glob("*.bundle")
    bundle = open_bundle(path)
    bundle.extract(folder)
    manifest = bundle.manifest
    session = open_session(folder / manifest.file, manifest.format)
    assert check_golden(session, read_golden(bundle), manifest) <= manifest.golden.atol
    return manifest.quality.accuracy


def name(case: Case) -> str:
    return Path(case.file).stem


@pytest.mark.parametrize("case", CONVERTED, ids=name)
def test_a_published_model_is_converted(case: Case, test_data: Path, tmp_path: Path):
    report = convert(plan_of(case, test_data, tmp_path))
    assert report.variants[0].sqnr_db > 80
    accuracy = proves_itself(tmp_path / "out")
    assert accuracy is None or accuracy >= ACCURACY.get(name(case), 1.0)


@pytest.mark.parametrize("case", PACKAGED, ids=name)
def test_a_ready_made_model_is_packaged(case: Case, test_data: Path, tmp_path: Path):
    package_given(plan_of(case, test_data, tmp_path))
    accuracy = proves_itself(tmp_path / "out")
    assert accuracy is not None
    assert accuracy >= ACCURACY.get(name(case), 1.0)


@pytest.mark.parametrize(
    ("file", "kind", "reason"), REFUSED, ids=[Path(r[0]).stem for r in REFUSED]
)
def test_a_file_that_no_device_could_load_is_refused(
    file: str, kind: type[EdgeKitError], reason: str, test_data: Path, tmp_path: Path
):
    case = Case(file=file, arrays=cut(32), plan=AGREE)
    with pytest.raises(kind) as caught:
        package_given(plan_of(case, test_data, tmp_path))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["held-out.npz"]


@pytest.mark.parametrize(
    ("source", "weights"),
    [(TORCHSCRIPT, None), (f"{NETS}:Cifar", TORCHSCRIPT)],
)
def test_torchscript_is_refused_with_the_way_out(
    source: str, weights: str | None, test_data: Path, tmp_path: Path
):
    case = Case(
        file=weights or source, arrays=cut(32), source=source if weights else None, plan=AGREE
    )
    with pytest.raises(SourceError, match="TorchScript") as caught:
        convert(plan_of(case, test_data, tmp_path))
    assert WAY_OUT in str(caught.value)


@pytest.mark.parametrize(
    ("source", "weights", "reason"),
    [
        (FASTESTDET, None, "no module; name a factory, package.module:function, and pass the file"),
        (
            f"{NETS}:Cifar",
            FASTESTDET,
            "the weights do not match Cifar: missing conv1.bias, conv1.weight, conv2.bias and 7 "
            "more, unexpected SPP.Conv1x1.conv1x1.0.weight, ",
        ),
    ],
    ids=["alone", "of another network"],
)
def test_weights_without_their_network_are_refused_with_the_way_out(
    source: str, weights: str | None, reason: str, test_data: Path, tmp_path: Path
):
    """The architecture of these weights is nowhere in the test data."""
    case = Case(file=FASTESTDET, arrays=cut(32), source=source if weights else None, plan=AGREE)
    with pytest.raises(SourceError) as caught:
        convert(plan_of(case, test_data, tmp_path))
    assert str(caught.value).startswith(f"{test_data / FASTESTDET}: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["held-out.npz"]


def test_every_model_of_the_test_data_is_in_a_table(test_data: Path):
    kinds = {".onnx", ".tflite", ".pt", ".pth", ".th", ".jit", ".pt2"}
    there = {str(p.relative_to(test_data)) for p in test_data.rglob("*") if p.suffix in kinds}
    told = {case.file for case in (*CONVERTED, *PACKAGED)} | {row[0] for row in REFUSED}
    assert there == told | {TORCHSCRIPT, FASTESTDET}
