"""The networks of `int8_latency`, converted by EdgeKit, with the float files for the peers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.conversion import DATA
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
        epochs: Of training to tell quarters of the recordings apart, where random weights do not
            survive 8 bits (hard-swish and excitation amplify noise); 0 for random weights.
    """

    name: str
    title: str
    shape: tuple[int, ...] = (1, 3, 224, 224)
    variants: tuple[str, ...] = _INT8
    epochs: int = 0


NETS = {
    net.name: net
    for net in (
        Net(name="mobilenet_v2", title="MobileNetV2"),
        Net(name="resnet_18", title="ResNet-18"),
        Net(name="mobilenet_v3", title="MobileNetV3-like", epochs=10),
        Net(
            name="vit_tiny",
            title="ViT-tiny",
            variants=(*_INT8, "onnx-int8-dynamic", "tflite-int8-dynamic"),
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
    """Write what is not there of samples.npz, float.FORMAT and ours-VARIANT files."""
    if not (folder / "weights.pt").exists():
        _write_source(net, folder)
    for family in sorted({name.partition("-")[0] for name in net.variants}):
        if not any((*folder.glob(f"ours-{family}-*"), *folder.glob(f"{family}{FAILED}"))):
            _convert_all(net, folder, family)


def _write_source(net: Net, folder: Path) -> None:
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    tensors, classes = _inputs(net)
    np.savez(folder / "samples.npz", tensors=tensors[:SAMPLES])
    np.savez(folder / "calibration.npz", images=tensors[:SAMPLES])
    np.savez(folder / "held-out.npz", images=tensors[SAMPLES:])
    torch.save(_weights(net, tensors[:SAMPLES], classes[:SAMPLES]), folder / "weights.pt")


def _weights(net: Net, tensors: Tensor, classes: Tensor) -> dict[str, Any]:
    """Return a state_dict; of random weights with settled batch norms and a fitted last layer."""
    import torch

    from benchmarks import networks
    from benchmarks.int8_training import train

    make = getattr(networks, net.name)
    torch.manual_seed(0)
    with one_thread():
        model = make()
        if net.epochs:
            model.load_state_dict(train(make, tensors, classes, seed=0, epochs=net.epochs))
            torch.optim.swa_utils.update_bn(torch.from_numpy(tensors).split(8), model)
        else:
            model = networks.settle(model, tensors[:16])
            if isinstance(model, torch.nn.Sequential):
                networks.fit_last(model, tensors, classes)
    state: dict[str, Any] = model.state_dict()
    return state


def _convert_all(net: Net, folder: Path, family: str) -> None:
    """Convert to each variant of a target, and keep the fastest over its float file."""
    found: dict[str, float] = {}
    refused = []
    for variant in [name for name in net.variants if name.startswith(family)]:
        try:
            found[variant] = _convert(net, folder, variant)
        except EdgeKitError as error:
            refused.append(f"{error}")
    if found:
        best = min(found, key=lambda name: found[name])
        (made,) = folder.glob(f"{best}.made.*")
        made.rename(folder / f"ours-{best}{made.suffix}")
    else:
        (folder / f"{family}{FAILED}").write_text(f"edgekit: {'; '.join(refused)}")


def _convert(net: Net, folder: Path, variant: str) -> float:
    """Write float and VARIANT.made files; return the latency over that of the float file.

    As a user has it; but what is refused as slower than its float file is kept after all, for
    peers' files may be slower, too.
    """
    family = variant.partition("-")[0]
    plan = ConversionPlan(
        source=f"benchmarks.networks:{net.name}",
        weights=folder / "weights.pt",
        model="bench",
        version="1",
        variants=(f"{family}-fp32", variant),
        inputs=(TensorSpec(name="input", shape=net.shape, dtype="float32"),),
        calibration=folder / "calibration.npz",
        evaluation=folder / "held-out.npz",
        metric="parity",
        profiles=(read_profile("x86-64-vnni"),),
        out=folder / variant,
        cache=folder / "cache",
    )
    with quiet_process():
        report = convert(plan)
        if report.rejected:
            report = convert(replace(plan, allow_slower=True))
    floating, made = report.variants
    for told, name in ((floating, "float"), (made, f"{variant}.made")):
        bundle = open_bundle(folder / variant / told.bundle)
        file = folder / f"{name}.{bundle.manifest.format}"
        file.write_bytes(bundle.read(bundle.manifest.file))
        if family == "openvino" and name == "float":
            xml, weights = openvino_file.read(file)
            file.with_suffix(".xml").write_bytes(xml)
            file.with_suffix(".bin").write_bytes(weights)
    return made.median_ms / floating.median_ms


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
