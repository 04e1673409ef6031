"""The networks of `int8_latency`, converted by EdgeKit, with the float files for the peers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.conversion import DATA
from converters.choice import Objective
from converters.pipeline import convert
from converters.plan import ConversionPlan
from converters.profiles import read_profile
from converters.quiet import quiet_process
from converters.threads import one_thread
from edgekit.bundle import open_bundle
from edgekit.errors import EdgeKitError, UsageError
from edgekit.manifest import TensorSpec
from edgekit.runtime import Tensor, openvino_file

SAMPLES = 48
FAILED = ".failed.txt"
"""Ends the name of a file that says why another is not there."""
_INT8 = ("onnx-int8", "openvino-int8", "tflite-int8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Net:
    """A network of `networks`.

    Attributes:
        name: Of its factory.
        title: As people know it.
        shape: Of its input, batch 1.
        variants: To convert to.
    """

    name: str
    title: str
    shape: tuple[int, ...]
    variants: tuple[str, ...]


_IMAGE = (1, 3, 224, 224)
NETS = {
    net.name: net
    for net in (
        Net(name="mobilenet_v2", title="MobileNetV2", shape=_IMAGE, variants=_INT8),
        Net(name="resnet_18", title="ResNet-18", shape=_IMAGE, variants=_INT8),
        Net(name="mobilenet_v3", title="MobileNetV3-like", shape=_IMAGE, variants=_INT8),
        Net(
            name="vit_tiny",
            title="ViT-tiny",
            shape=_IMAGE,
            variants=("onnx-int8", "onnx-int8-dynamic", "openvino-int8", "tflite-int8"),
        ),
        # litert-torch unrolls recurrent layers: no TFLite file of it.
        Net(
            name="recurrent",
            title="two GRUs",
            shape=(1, 49, 40),
            variants=("onnx-int8", "onnx-int8-dynamic", "openvino-int8"),
        ),
    )
}


def samples_of(folder: Path) -> list[Tensor]:
    """Return the tensors of a case, batch 1 each."""
    return [tensor[np.newaxis] for tensor in np.load(folder / "samples.npz")["tensors"]]


def write_case(net: Net, folder: Path) -> None:
    """Write samples.npz, float.onnx, float.tflite, float.xml and ours-VARIANT files."""
    import torch

    from benchmarks import networks

    folder.mkdir(parents=True, exist_ok=True)
    tensors, classes = _inputs(net)
    np.savez(folder / "samples.npz", tensors=tensors[:SAMPLES])
    np.savez(folder / "calibration.npz", images=tensors[:SAMPLES])
    np.savez(folder / "held-out.npz", images=tensors[SAMPLES:])
    torch.manual_seed(0)
    with one_thread():
        model = networks.settle(getattr(networks, net.name)(), tensors[:16])
        if isinstance(model, torch.nn.Sequential):
            networks.fit_last(model, tensors[:SAMPLES], classes[:SAMPLES])
    torch.save(model.state_dict(), folder / "weights.pt")
    families = {name.partition("-")[0] for name in net.variants}
    for family in sorted(families):
        wanted = [f"{family}-fp32", *(v for v in net.variants if v.startswith(family))]
        _convert(net, folder, family, tuple(wanted))
    (folder / "done").touch()


def _convert(net: Net, folder: Path, family: str, variants: tuple[str, ...]) -> None:
    plan = ConversionPlan(
        source=f"benchmarks.networks:{net.name}",
        weights=folder / "weights.pt",
        model="bench",
        version="1",
        variants=variants,
        inputs=(TensorSpec(name="input", shape=net.shape, dtype="float32"),),
        calibration=folder / "calibration.npz",
        evaluation=folder / "held-out.npz",
        metric="parity",
        allow_slower=True,
        profiles=(read_profile("x86-64-vnni"),),
        objective=Objective.LATENCY,
        out=folder / family,
        cache=folder / "cache",
    )
    try:
        with quiet_process():
            report = convert(plan)
    except EdgeKitError as error:
        (folder / f"{family}{FAILED}").write_text(f"edgekit: {error}")
        return
    quantized = [v for v in report.variants if not v.variant.endswith("fp32")]
    best = min(quantized, key=lambda v: v.median_ms)
    for told, name in ((report.variants[0], "float"), (best, f"ours-{best.variant}")):
        bundle = open_bundle(folder / family / told.bundle)
        file = folder / f"{name}.{bundle.manifest.format}"
        file.write_bytes(bundle.read(bundle.manifest.file))
        if family == "openvino" and name == "float":
            xml, weights = openvino_file.read(file)
            file.with_suffix(".xml").write_bytes(xml)
            file.with_suffix(".bin").write_bytes(weights)
    sqnr = {v.variant: [v.sqnr_db, v.median_ms] for v in report.variants}
    (folder / f"{family}.json").write_text(json.dumps(sqnr))


def _inputs(net: Net) -> tuple[Tensor, Tensor]:
    """Return real inputs, [2 * SAMPLES, ...], and classes: video frames, or spoken digits."""
    return _sounds() if net.name == "recurrent" else frames(2 * SAMPLES)


def frames(count: int) -> tuple[Tensor, Tensor]:
    """Return frames of two recordings, [count, 3, 224, 224] in [-1, 1], and which quarter of them.

    Raises:
        UsageError: The recordings are not there.
    """
    import cv2

    found = []
    for name in ("car", "bottle"):
        path = DATA / "intel_videos" / f"{name}-detection.mp4"
        if not path.is_file():
            raise UsageError("needs the videos of the test data", todo="set EDGEKIT_TEST_DATA")
        capture = cv2.VideoCapture(str(path))
        total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        wanted = set(np.linspace(0, total - 2, count // 2).astype(int).tolist())
        for index in range(total):
            there, pixels = capture.read()
            if there and index in wanted:
                found.append(cv2.resize(pixels, (224, 224), interpolation=cv2.INTER_AREA))
    order = np.random.default_rng(0).permutation(len(found))
    quarter = (np.arange(len(found)) * 4 // len(found))[order]
    images = np.stack(found)[order].astype(np.float32) / 127.5 - 1
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)), quarter.astype(np.int64)


def _sounds() -> tuple[Tensor, Tensor]:
    from benchmarks.int8_training import spoken_digits

    chosen = np.random.default_rng(0).permutation(2500)[: 2 * SAMPLES]
    spectra, labels = spoken_digits()
    return np.ascontiguousarray(spectra[chosen, 0]), labels[chosen]
