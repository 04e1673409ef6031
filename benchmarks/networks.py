"""Networks of the kinds that fleets run; `int8_training` trains them."""

from __future__ import annotations

import torch
from torch import nn


def _conv(before: int, after: int, size: int = 1, stride: int = 1, groups: int = 1) -> nn.Module:
    layer = nn.Conv2d(
        before, after, size, stride=stride, padding=size // 2, groups=groups, bias=False
    )
    return nn.Sequential(layer, nn.BatchNorm2d(after))


class Inverted(nn.Module):  # type: ignore[misc] # (torch is untyped here)
    """Widen, filter each channel, perhaps squeeze and excite, narrow.

    Source: Howard et al. 2019, figure 4.
    """

    def __init__(self, before: int, wide: int, after: int, stride: int, *, modern: bool) -> None:
        super().__init__()
        act: type[nn.Module] = nn.Hardswish if modern else nn.ReLU6
        layers = [_conv(before, wide), act()] if wide != before else []
        layers += [_conv(wide, wide, 5 if modern else 3, stride=stride, groups=wide), act()]
        if modern:
            layers.append(Excite(wide))
        self.body = nn.Sequential(*layers, _conv(wide, after))
        self.around = stride == 1 and before == after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features [N, after, H / stride, W / stride]."""
        return x + self.body(x) if self.around else self.body(x)


class Excite(nn.Module):  # type: ignore[misc] # (torch is untyped here)
    """Squeeze and excitation with a hard sigmoid. Source: Howard et al. 2019, section 5.3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, max(8, channels // 4), 1)
        self.up = nn.Conv2d(max(8, channels // 4), channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return channels weighted by what they hold."""
        squeezed = torch.relu(self.down(x.mean((2, 3), keepdim=True)))
        return x * nn.functional.hardsigmoid(self.up(squeezed))


def mobilenet_v3_like(classes: int = 10) -> nn.Module:
    """Return a small network of MobileNetV3's blocks for [1, 1, 28, 28]."""
    return nn.Sequential(
        _conv(1, 16, 3), nn.Hardswish(),
        Inverted(16, 48, 24, 2, modern=True),
        Inverted(24, 72, 24, 1, modern=True),
        Inverted(24, 96, 40, 2, modern=True),
        Inverted(40, 160, 40, 1, modern=True),
        _conv(40, 160), nn.Hardswish(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(160, classes),
    )  # fmt: skip
