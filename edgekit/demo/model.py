"""Two networks for 8x8 handwritten digits: one that fits an edge device, one much too slow for it.

The factories are what `edgekit convert` takes as its source. This module needs torch.
"""

from __future__ import annotations

import torch
from torch import nn

AUGMENTATIONS = 256


def digits_cnn() -> nn.Module:
    """Return a small CNN: [N, 1, 8, 8] float32 in [0, 1] -> [N, 10] scores; 0.4 M MACs an image."""
    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


class Averaged(nn.Module):  # type: ignore[misc] # torch is not followed by the type checker
    """A network that looks at every image many times, each time with another contrast.

    Test-time augmentation, as one leaves switched on by mistake: same input, same output, as
    accurate, converts without a complaint, and costs 256 times as much. Only a device can tell.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        contrasts = torch.linspace(0.8, 1.2, AUGMENTATIONS).reshape(1, AUGMENTATIONS, 1, 1, 1)
        self.register_buffer("contrasts", contrasts, persistent=False)
        self.contrasts: torch.Tensor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return [N, 10] mean scores for [N, 1, 8, 8] images; plain scores while training."""
        if self.training:
            return torch.as_tensor(self.net(images))
        variants = (images.unsqueeze(1) * self.contrasts).flatten(0, 1)
        return torch.as_tensor(self.net(variants)).unflatten(0, (-1, AUGMENTATIONS)).mean(dim=1)


def digits_averaged() -> nn.Module:
    """Return the small CNN behind 256-fold test-time augmentation."""
    return Averaged(digits_cnn())
