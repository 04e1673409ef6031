"""Composed scenes of real digits, and a tiny one-stage detector that learns them in seconds.

Pixels are those of MNIST; where a digit was put is known, so boxes are exact by construction.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from edgekit.runtime import Tensor

SIDE = 64
CLASSES = 4
_STRIDE = 8
_MOST = 3
_CELLS = SIDE // _STRIDE


class Detector(nn.Module):  # type: ignore[misc] # (torch is untyped here)
    """Boxes and scores of 64 cells: [N, 1, 64, 64] -> [N, 64, 4] corners, pixels; [N, 64, 4]."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 8, 16, 32)
        self.body = nn.Sequential(
            *(_layer(a, b, 2) for a, b in itertools.pairwise(widths)),
            _layer(32, 32, 1),
        )
        self.sides = nn.Conv2d(32, 4, 1)
        self.scores = nn.Conv2d(32, CLASSES, 1)
        nn.init.constant_(self.scores.bias, -3.0)  # few cells hold a digit
        self.register_buffer("centres", _centres(), persistent=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return left, top, right, bottom of each cell's digit, and its scores in [0, 1]."""
        sides, logits = self.raw(x)
        signs = sides.new_tensor([-_STRIDE, -_STRIDE, _STRIDE, _STRIDE])
        return self.centres + sides * signs, torch.sigmoid(logits)

    def raw(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return how far the sides are from the cell's centre, in cells, and logits."""
        found = self.body(x)
        return self.sides(found).flatten(2).mT, self.scores(found).flatten(2).mT


def detector() -> nn.Module:
    """Return the network, untrained."""
    return Detector()


def _layer(before: int, after: int, stride: int) -> nn.Module:
    conv = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU())


def _centres() -> torch.Tensor:
    """Return the centre of each cell twice, x and y, [64, 4]."""
    at = (torch.arange(_CELLS) + 0.5) * _STRIDE
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([x, y, x, y], dim=-1).reshape(-1, 4)


def scenes(digits: Tensor, labels: Tensor, count: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Compose scenes of one to three digits that do not touch.

    Args:
        digits: [N, 28, 28] uint8.
        labels: [N], below `CLASSES`.
        count: Scenes.
        seed: Of what is put where.

    Returns:
        Scenes [count, 64, 64] uint8 and boxes [count, 3, 5] float32: class (-1 for none), left,
        top, right, bottom.
    """
    rng = np.random.default_rng(seed)
    images = np.zeros((count, SIDE, SIDE), np.uint8)
    boxes = np.full((count, _MOST, 5), -1, np.float32)
    for image, rows in zip(images, boxes, strict=True):
        for row in rows[: rng.integers(1, _MOST + 1)]:
            chosen = int(rng.integers(len(digits)))
            pixels = _trimmed(digits[chosen])
            left, top = (int(rng.integers(0, SIDE - n + 1)) for n in pixels.shape[::-1])
            place = image[top : top + pixels.shape[0], left : left + pixels.shape[1]]
            if not place.any():
                place[:] = pixels
                height, width = pixels.shape
                row[:] = labels[chosen], left, top, left + width, top + height
    return images, boxes


def _trimmed(digit: Tensor) -> Tensor:
    """Return a digit without the empty rows and columns around it."""
    rows, columns = (np.flatnonzero(digit.any(axis=axis)) for axis in (1, 0))
    return digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def trained(images: Tensor, boxes: Tensor, *, epochs: int) -> dict[str, torch.Tensor]:
    """Return weights that were learnt from scenes, with one thread and the same each time."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, order = Detector(), torch.Generator().manual_seed(0)
    inputs = torch.from_numpy(images[:, None] / np.float32(255))
    classes, sides = _targets(torch.from_numpy(boxes))
    optimizer = torch.optim.Adam(model.parameters(), 4e-3)
    steps = epochs * -(-len(inputs) // 32)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs), generator=order).split(32):
            optimizer.zero_grad()
            got, logits = model.raw(inputs[batch])
            there = classes[batch].amax(dim=2) > 0
            loss = functional.smooth_l1_loss(got[there], sides[batch][there], beta=0.1)
            known = functional.binary_cross_entropy_with_logits(
                logits, classes[batch], reduction="sum"
            )
            (2 * loss + known / there.sum()).backward()
            optimizer.step()
            schedule.step()
    state: dict[str, torch.Tensor] = model.state_dict()
    return state


def _targets(boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return classes [N, 64, 4] and sides [N, 64, 4], in cells, of the digits at cells.

    A cell has the digit in whose middle half its centre lies, or whose own centre lies in it.
    """
    centres = _centres()[:, :2]
    corners = boxes[:, None, :, 1:].expand(-1, len(centres), -1, -1)
    middle = (corners[..., :2] + corners[..., 2:]) / 2
    reach = ((corners[..., 2:] - corners[..., :2]) / 4).clamp(min=_STRIDE / 2)
    inside = ((centres[:, None] - middle).abs() <= reach).all(dim=-1) & (boxes[:, None, :, 0] >= 0)
    which = inside.int().argmax(dim=2)
    there = inside.any(dim=2)
    kinds = torch.gather(boxes[..., 0], 1, which).long().clamp(min=0)
    box = torch.gather(boxes[..., 1:], 1, which[..., None].expand(-1, -1, 4))
    sides = torch.cat([centres - box[..., :2], box[..., 2:] - centres], dim=2) / _STRIDE
    return functional.one_hot(kinds, CLASSES) * there[..., None].float(), sides
