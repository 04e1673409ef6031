"""Trains the networks of `int8_accuracy`, in the ordinary way, on named data. Nothing is skewed.

MNIST: 8,000 images of LeCun's digits. Spoken digits: the Free Spoken Digit Dataset, 2,500
recordings of five speakers, 8 kHz, as log-mel spectra.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.conversion import DATA
from converters.cache import Cache, default_folder, key_of
from converters.samples import fingerprint
from converters.threads import one_thread
from edgekit.bundle import file_digest
from edgekit.runtime import Tensor

FRAMES, BANDS = 49, 40
_RATE, _WINDOW, _HOP = 8000, 256, 160
_KIND, _THIS = "bench-weights", Path(__file__).name


def mnist() -> tuple[Tensor, Tensor]:
    """Return images [8000, 1, 28, 28] in [0, 1] and labels."""
    with np.load(DATA / "mnist" / "mnist_8k.npz") as archive:
        images, labels = archive["images"], archive["labels"]
    return (images[:, np.newaxis] / 255).astype(np.float32), labels.astype(np.int64)


def spoken_digits() -> tuple[Tensor, Tensor]:
    """Return log-mel spectra [2500, 1, 49, 40] of the first second, and labels."""
    with np.load(DATA / "fsdd" / "fsdd_5_speakers.npz") as archive:
        samples, offsets, labels = archive["samples"], archive["offsets"], archive["labels"]
    ends = list(itertools.pairwise(offsets))
    spectra = [_log_mel(samples[a:b].astype(np.float32) / 32768) for a, b in ends]
    return np.stack(spectra)[:, np.newaxis], labels.astype(np.int64)


def _log_mel(signal: Tensor) -> Tensor:
    """Return [49, 40]: Hann windows of 32 ms every 20 ms, mel bands of 60 to 4,000 Hz."""
    length = _WINDOW + (FRAMES - 1) * _HOP
    padded = np.zeros(length, np.float32)
    padded[: min(length, len(signal))] = signal[:length]
    rows = np.stack([padded[i * _HOP : i * _HOP + _WINDOW] for i in range(FRAMES)])
    power = np.abs(np.fft.rfft(rows * np.hanning(_WINDOW))) ** 2
    logs: Tensor = np.log(power @ _mel_bands().T + 1e-6).astype(np.float32)
    return (logs + 5) / 4


def _mel_bands() -> Tensor:
    """Return triangles [40, 129]. Source: O'Shaughnessy 1987, mel = 2595 log10(1 + f / 700)."""
    mel = np.linspace(2595 * np.log10(1 + 60 / 700), 2595 * np.log10(1 + 4000 / 700), BANDS + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    bins = np.linspace(0, _RATE / 2, _WINDOW // 2 + 1)
    left, middle, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - left) / (middle - left), (right - bins) / (right - middle)
    return np.maximum(0, np.minimum(rising, falling))


def speech_cnn(classes: int = 10) -> nn.Module:
    """Return a small CNN for spectra [1, 1, 49, 40], or digits [1, 1, 28, 28]."""
    layers: list[nn.Module] = []
    before = 1
    for after in (16, 32, 48):
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, classes))


def trained(
    make: Callable[[], nn.Module], images: Tensor, labels: Tensor, *, seed: int, epochs: int
) -> Path:
    """Return the weights of `train`; those that an earlier run made of the same are found."""
    cache = Cache(default_folder())
    code = [file_digest(Path(__file__).with_name(name)) for name in ("networks.py", _THIS)]
    data = [fingerprint(array).hex() for array in (images, labels)]
    key = key_of(code=code, data=data, make=make.__name__, seed=seed, epochs=epochs)
    return cache.find(_KIND, key) or cache.put(
        _KIND,
        key,
        lambda path: torch.save(train(make, images, labels, seed=seed, epochs=epochs), path),
    )


def train(
    make: Callable[[], nn.Module], images: Tensor, labels: Tensor, *, seed: int, epochs: int
) -> dict[str, torch.Tensor]:
    """Return the weights after Adam with one cycle of the learning rate; shifted by up to 2."""
    torch.manual_seed(seed)
    model = make().train()
    inputs, classes = torch.from_numpy(images), torch.from_numpy(labels)
    steps = epochs * -(-len(inputs) // 64)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps)
    with one_thread():
        for _ in range(epochs):
            for batch in torch.randperm(len(inputs)).split(64):
                shift = torch.randint(-2, 3, (2,)).tolist()
                x = torch.roll(inputs[batch], shift, (2, 3))
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x), classes[batch]).backward()
                optimizer.step()
                schedule.step()
    state: dict[str, torch.Tensor] = model.eval().state_dict()
    return state
