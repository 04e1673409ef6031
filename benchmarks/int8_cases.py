"""The networks of `int8_accuracy` with what each is calibrated and proven on. Measures nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.conversion import DATA
from edgekit.runtime import Tensor

VARIANTS = ("onnx-int8", "openvino-int8", "tflite-int8")
CALIBRATED = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One network with its samples: `calibration.npz` and `held-out.npz` in the folder."""

    source: str
    weights: Path | None
    shape: tuple[int, ...]
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Cases that differ in a seed, a fold or a draw.

    Attributes:
        title: For people; the condition of its rows.
        write: Yields each case, its files written while it is asked for.
        variants: To convert to.
        judged: Whether it is also converted with a budget.
    """

    title: str
    write: Callable[[Path], Iterator[Case]]
    variants: tuple[str, ...] = VARIANTS
    judged: bool = True


def _mnist(folder: Path) -> Iterator[Case]:
    from benchmarks.int8_training import mnist

    images, labels = mnist()
    images = images * 255
    for seed in range(5):
        chosen = np.random.default_rng(seed).choice(3000, CALIBRATED, replace=False)
        _write(folder, images[3000:], labels[3000:], images[chosen])
        source = str(DATA / "ort_examples" / "mnist.onnx")
        yield Case(source=source, weights=None, shape=(1, 1, 28, 28), folder=folder)


def _mnist_trained(folder: Path) -> Iterator[Case]:
    from benchmarks.int8_training import mnist

    images, labels = mnist()
    for seed in range(5):
        split = np.arange(3000), np.arange(3000, len(labels))
        yield _trained("speech_cnn", (images, labels), split, seed=seed, epochs=8, folder=folder)


def _speech(folder: Path) -> Iterator[Case]:
    from benchmarks.int8_training import spoken_digits

    spectra, labels = spoken_digits()
    fold_of = np.random.default_rng(0).permutation(len(labels)) % 5
    for fold in range(5):
        split = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        yield _trained("speech_cnn", (spectra, labels), split, seed=fold, epochs=12, folder=folder)


def _mobilenet(folder: Path) -> Iterator[Case]:
    from benchmarks.int8_training import mnist

    images, labels = mnist()
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(labels))
        split = order[4000:], order[:3500]
        yield _trained(
            "mobilenet_v3_like", (images, labels), split, seed=seed, epochs=6, folder=folder
        )


def _mobilenet_speech(folder: Path) -> Iterator[Case]:
    from benchmarks.int8_training import spoken_digits

    spectra, labels = spoken_digits()
    order = np.random.default_rng(0).permutation(len(labels))
    for seed, held in enumerate(np.array_split(order, 2)):
        split = np.setdiff1d(order, held), held
        yield _trained(
            "mobilenet_v3_like", (spectra, labels), split, seed=seed, epochs=12, folder=folder
        )


def _trained(
    network: str,
    data: tuple[Tensor, Tensor],
    split: tuple[Tensor, Tensor],
    *,
    seed: int,
    epochs: int,
    folder: Path,
) -> Case:
    """Train on the first samples of a split, calibrate on some of them, hold out the others."""
    from benchmarks import int8_training, networks

    (images, labels), (rest, held) = data, split
    module = networks if hasattr(networks, network) else int8_training
    found = int8_training.trained(
        getattr(module, network), images[rest], labels[rest], seed=seed, epochs=epochs
    )
    weights = folder / f"weights{seed}.pt"
    shutil.copyfile(found, weights)
    _write(folder, images[held], labels[held], images[rest[:CALIBRATED]])
    shape = (1, *images.shape[1:])
    return Case(source=f"{module.__name__}:{network}", weights=weights, shape=shape, folder=folder)


def _write(folder: Path, images: Tensor, labels: Tensor, calibration: Tensor) -> None:
    np.savez(folder / "held-out.npz", images=images, labels=labels)
    np.savez(folder / "calibration.npz", images=calibration)


SERIES = {
    "mnist": Series(
        title="MNIST CNN, ONNX file", write=_mnist, variants=VARIANTS[:2], judged=False
    ),
    "mnist-trained": Series(
        title="MNIST CNN, trained here, five seeds", write=_mnist_trained, judged=False
    ),
    "speech": Series(title="spoken digits CNN, five folds", write=_speech),
    "mobilenet": Series(title="MobileNetV3-like on MNIST, five seeds", write=_mobilenet),
    "mobilenet-speech": Series(
        title="MobileNetV3-like on spoken digits, two halves", write=_mobilenet_speech
    ),
}
"""By the names that EDGEKIT_BENCH_CASES knows."""
