"""Networks whose published weights lie in the test data, and samples for them that are real."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional


class Cifar(nn.Module):  # type: ignore[misc] # (torch is untyped here)
    """The CNN of PyTorch's CIFAR tutorial, [1, 3, 32, 32] -> [1, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ten scores."""
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.max_pool2d(functional.relu(self.conv2(x)), 2)
        x = functional.relu(self.fc1(x.flatten(1)))
        return self.fc3(functional.relu(self.fc2(x)))


class Housing(nn.Module):  # type: ignore[misc] # (torch is untyped here)
    """Four layers, [1, 8] -> [1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.lin1 = nn.Linear(8, 100)
        self.lin2 = nn.Linear(100, 50)
        self.lin3 = nn.Linear(50, 10)
        self.lin4 = nn.Linear(10, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a price."""
        for layer in (self.lin1, self.lin2, self.lin3):
            x = functional.relu(layer(x))
        return self.lin4(x)


class Titanic(nn.Module):  # type: ignore[misc] # (torch is untyped here)
    """Three layers, [1, 12] -> [1, 2]."""

    def __init__(self) -> None:
        super().__init__()
        self.linear1 = nn.Linear(12, 12)
        self.linear2 = nn.Linear(12, 8)
        self.linear3 = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the share of two classes."""
        x = torch.sigmoid(self.linear2(torch.sigmoid(self.linear1(x))))
        return torch.softmax(self.linear3(x), dim=1)


class Block(nn.Module):  # type: ignore[misc] # (torch is untyped here)
    """Two convolutions; the way around them takes every other pixel and adds empty channels."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.more = (after - before) // 2
        self.conv1 = nn.Conv2d(before, after, 3, 2 if self.more else 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features, half as wide where there are more channels."""
        out = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))
        return functional.relu(out + x)


class ResNet20(nn.Module):  # type: ignore[misc] # (torch is untyped here)
    """ResNet-20 for CIFAR-10, [1, 3, 32, 32] -> [1, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16) for _ in range(3)))
        self.layer2 = nn.Sequential(Block(16, 32), Block(32, 32), Block(32, 32))
        self.layer3 = nn.Sequential(Block(32, 64), Block(64, 64), Block(64, 64))
        self.linear = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ten scores."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def patches(folder: Path, size: int, count: int, *, seed: int = 0) -> np.ndarray:
    """Return RGB cut-outs of real photographs, [count, size, size, 3] uint8."""
    rng = np.random.default_rng(seed)
    photos = [
        np.asarray(cv2.imread(str(folder / name)))[..., ::-1]
        for name in ("parrot.jpg", "hot_dog.jpg")
    ]
    found: list[np.ndarray] = []
    while len(found) < count:
        photo = photos[len(found) % 2]
        side = int(rng.integers(size, min(photo.shape[:2]) + 1))
        top, left = (int(rng.integers(0, n - side + 1)) for n in photo.shape[:2])
        cut = photo[top : top + side, left : left + side]
        found.append(cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA))
    return np.stack(found)


def tables(features: int, count: int, *, seed: int = 0) -> np.ndarray:
    """Return rows of numbers, [count, features] float32: no data come with these weights."""
    return np.random.default_rng(seed).normal(size=(count, features)).astype(np.float32)


def spectra(npz: Path, count: int, *, first: int = 0) -> np.ndarray:
    """Return log spectra of spoken digits, [count, 49, 10, 1] float32 in about -128..127."""
    data = np.load(npz)
    rows = []
    for index in range(first, first + count):
        start, end = data["offsets"][index], data["offsets"][index + 1]
        signal = np.zeros(8000, np.float32)
        cut = data["samples"][start:end][:8000].astype(np.float32) / 32768
        signal[: len(cut)] = cut
        frames = np.lib.stride_tricks.sliding_window_view(signal, 256)[::158][:49]
        power = np.abs(np.fft.rfft(frames * np.hanning(256), axis=1)) ** 2
        bands = power[:, 1:121].reshape(49, 10, 12).sum(axis=2)
        rows.append(10 * np.log10(bands + 1e-4)[..., np.newaxis])
    return np.stack(rows).astype(np.float32)


def speech(folder: Path) -> dict[str, np.ndarray]:
    """Return one minute of speech as the voice detector takes it: 512 samples after 64 earlier."""
    raw = (folder / "test.wav").read_bytes()
    signal = np.frombuffer(raw[raw.index(b"data") + 8 :], np.int16).astype(np.float32) / 32768
    count = len(signal) // 512
    padded = np.concatenate([np.zeros(64, np.float32), signal])
    chunks = np.stack([padded[i * 512 : i * 512 + 576] for i in range(count)])
    return {"images": chunks, "sr": np.full(count, 16000, np.int64)}
