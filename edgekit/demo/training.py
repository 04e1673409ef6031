"""Trains the networks of the demo on scikit-learn's digits and keeps a held-out part.

`python -m edgekit.demo.training --out FOLDER` writes `<release>.pt` for each release,
`calibration.npz` and `heldout.npz` (`images` uint8 [N, 8, 8] in 0..16, `labels` int64 [N]), and
`heldout/<n>.npy`, the images that the devices classify. The data are 1,797 real handwritten
digits (E. Alpaydin, C. Kaynak, UCI Machine Learning Repository, 1998; CC BY 4.0).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from torch import nn

from edgekit.demo.model import digits_averaged, digits_cnn

HELD_OUT = 597
CALIBRATION = 300
SPLIT_SEED = 7
SHOWN_TO_DEVICES = 200

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How one release is trained."""

    release: str
    factory: Callable[[], nn.Module]
    seed: int
    epochs: int


TRAININGS = (
    Training(release="1.0.0", factory=digits_cnn, seed=0, epochs=20),
    Training(release="1.1.0", factory=digits_cnn, seed=1, epochs=30),
    Training(release="1.2.0", factory=digits_averaged, seed=2, epochs=30),
)


def split() -> tuple[tuple[Images, Labels], tuple[Images, Labels]]:
    """Return the training part and the held-out part, each as images and labels."""
    digits = load_digits()
    order = np.random.default_rng(SPLIT_SEED).permutation(len(digits.target))
    images = digits.images.astype(np.uint8)[order]
    labels = digits.target.astype(np.int64)[order]
    return (images[HELD_OUT:], labels[HELD_OUT:]), (images[:HELD_OUT], labels[:HELD_OUT])


def as_input(images: Images) -> torch.Tensor:
    """Return [N, 1, 8, 8] float32 in [0, 1], as the manifest's preprocessing does."""
    return torch.from_numpy(images.astype(np.float32) / 16.0).unsqueeze(1)


def train(training: Training, images: Images, labels: Labels) -> nn.Module:
    """Train one network with Adam and cross-entropy; deterministic for its seed."""
    torch.manual_seed(training.seed)
    net = training.factory()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    inputs, targets = as_input(images), torch.from_numpy(labels)
    for _ in range(training.epochs):
        for rows in torch.randperm(len(inputs)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(inputs[rows]), targets[rows]).backward()
            optimizer.step()
    return net.eval()


def accuracy(net: nn.Module, images: Images, labels: Labels) -> float:
    """Return the share of images whose highest score is the right digit."""
    with torch.no_grad():
        answers = net(as_input(images)).argmax(dim=1).numpy()
    return float(np.mean(answers == labels))


def main(argv: list[str] | None = None) -> int:
    """Train every release and write weights and data."""
    parser = argparse.ArgumentParser(prog="python -m edgekit.demo.training")
    parser.add_argument("--out", type=Path, required=True)
    out: Path = parser.parse_args(argv).out
    torch.set_num_threads(1)  # more would only spin on a busy machine
    (images, labels), (held_images, held_labels) = split()
    out.mkdir(parents=True, exist_ok=True)
    np.savez(out / "calibration.npz", images=images[:CALIBRATION], labels=labels[:CALIBRATION])
    np.savez(out / "heldout.npz", images=held_images, labels=held_labels)
    (out / "heldout").mkdir(exist_ok=True)
    for index, image in enumerate(held_images[:SHOWN_TO_DEVICES]):
        np.save(out / "heldout" / f"{index:04d}.npy", image)
    for training in TRAININGS:
        started = time.perf_counter()
        net = train(training, images, labels)
        torch.save(net.state_dict(), out / f"{training.release}.pt")
        share = accuracy(net, held_images, held_labels)
        took = time.perf_counter() - started
        print(f"{training.release} {share:.4f} {took:.1f}", flush=True)  # noqa: T201 (its output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
