"""Networks of the kinds that fleets run, with weights of our own: no published ones are to be had.

Weights are random with batch norms settled on real inputs, so that answers vary; accuracy on them
is agreement with the float network. `mobilenet_v3_like` for 28x28 is trained (`int8_accuracy`).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from edgekit.runtime import Tensor


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


class Residual(nn.Module):  # type: ignore[misc] # (torch is untyped here)
    """Two convolutions around which the input goes. Source: He et al. 2016, figure 2."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(before, after, 3, stride=stride), nn.ReLU(), _conv(after, after, 3)
        )
        same = stride == 1 and before == after
        self.around = nn.Identity() if same else _conv(before, after, 1, stride=stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features [N, after, H / stride, W / stride]."""
        return torch.relu(self.body(x) + self.around(x))


class Transformer(nn.Module):  # type: ignore[misc] # (torch is untyped here)
    """ViT-tiny: 196 patches and a class token. Source: Touvron et al. 2021 (DeiT), table 1."""

    def __init__(self, classes: int, *, wide: int = 192, heads: int = 3, depth: int = 12) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, wide, 16, stride=16)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, wide))
        self.places = nn.Parameter(0.02 * torch.randn(1, 197, wide))
        self.blocks = nn.Sequential(*(Block(wide, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(wide), nn.Linear(wide, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores [N, classes]."""
        rows = self.patches(x).flatten(2).transpose(1, 2)
        rows = torch.cat([self.token.expand(len(x), -1, -1), rows], dim=1) + self.places
        return self.head(self.norm(self.blocks(rows))[:, 0])


class Block(nn.Module):  # type: ignore[misc] # (torch is untyped here)
    """Attention and two dense layers, each around a norm. Source: Dosovitskiy et al. 2021."""

    def __init__(self, wide: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(wide), nn.LayerNorm(wide)
        self.keys, self.out = nn.Linear(wide, 3 * wide), nn.Linear(wide, wide)
        self.dense = nn.Sequential(nn.Linear(wide, 4 * wide), nn.GELU(), nn.Linear(4 * wide, wide))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return rows [N, tokens, wide]."""
        n, tokens, wide = x.shape
        three = self.keys(self.first(x)).reshape(n, tokens, 3, self.heads, wide // self.heads)
        q, k, v = three.permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-2, -1) * (wide // self.heads) ** -0.5, dim=-1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(n, tokens, wide))
        return x + self.dense(self.second(x))


class Recurrent(nn.Module):  # type: ignore[misc] # (torch is untyped here)
    """Two GRUs over 49 frames of 40 bands, as keyword spotters have."""

    def __init__(self, classes: int = 12) -> None:
        super().__init__()
        self.rows = nn.GRU(40, 128, num_layers=2, batch_first=True)
        self.head = nn.Sequential(nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return scores [N, classes] of [N, 49, 40]."""
        return self.head(self.rows(x)[0][:, -1])


def mobilenet_v2(classes: int = 4) -> nn.Module:
    """Return MobileNetV2 1.0 for [1, 3, 224, 224]. Source: Sandler et al. 2018, table 2."""
    layers, before = [_conv(3, 32, 3, stride=2), nn.ReLU6()], 32
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2))
    for factor, after, repeats, stride in (*table, (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)):
        for index in range(repeats):
            step = stride if index == 0 else 1
            layers.append(Inverted(before, before * factor, after, step, modern=False))
            before = after
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, classes)]
    return nn.Sequential(*layers, _conv(320, 1280), nn.ReLU6(), *head)


def mobilenet_v3(classes: int = 4) -> nn.Module:
    """Return blocks of MobileNetV3 for [1, 3, 224, 224], all with hard-swish and excitation."""
    layers, before = [_conv(3, 16, 3, stride=2), nn.Hardswish()], 16
    table = ((16, 16, 2), (72, 24, 2), (88, 24, 1), (96, 40, 2), (240, 40, 1), (240, 40, 1))
    for wide, after, stride in (*table, (120, 48, 1), (288, 96, 2), (576, 96, 1), (576, 96, 1)):
        layers.append(Inverted(before, wide, after, stride, modern=True))
        before = after
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(576, 1024), nn.Hardswish()]
    return nn.Sequential(*layers, _conv(96, 576), nn.Hardswish(), *head, nn.Linear(1024, classes))


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


def resnet_18(classes: int = 4) -> nn.Module:
    """Return ResNet-18 for [1, 3, 224, 224]. Source: He et al. 2016, table 1."""
    layers, before = [_conv(3, 64, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for after, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Residual(before, after, stride), Residual(after, after, 1)]
        before = after
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes)]
    return nn.Sequential(*layers, *head)


def vit_tiny(classes: int = 4) -> nn.Module:
    """Return ViT-tiny for [1, 3, 224, 224]."""
    return Transformer(classes)


def recurrent() -> nn.Module:
    """Return the recurrent network."""
    return Recurrent()


def settle(model: nn.Module, inputs: Tensor) -> nn.Module:
    """Set the statistics of batch norms from real inputs [N, ...], and return it evaluating.

    Random networks with batch norms amplify small differences from layer to layer, so 8-bit noise
    too; trained ones do not. Inverted blocks are therefore kept near the straight part of their
    activations (means of 2) and their detours small (gains of 0.25, after Goyal et al. 2017,
    section 5.1, who begin with 0). No arithmetic is spared by that.
    """
    for block in model.modules():
        if isinstance(block, Inverted):
            _calm(block)
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    model.train()
    with torch.no_grad():
        for batch in np.array_split(inputs, max(1, len(inputs) // 8)):
            model(torch.from_numpy(batch))
    return model.eval()


def _calm(block: Inverted) -> None:
    norms = [layer for layer in block.modules() if isinstance(layer, nn.BatchNorm2d)]
    for norm in norms[:-1]:
        nn.init.constant_(norm.bias, 2.0)
    nn.init.constant_(norms[-1].weight, 0.25 if block.around else 1.0)


def fit_last(model: nn.Sequential, inputs: Tensor, classes: Tensor) -> None:
    """Fit the last linear layer by ridge regression to tell classes of inputs [N, C, H, W]."""
    body, last = model[:-1], model[-1]
    with torch.inference_mode():
        rows = [body(torch.from_numpy(one[np.newaxis])) for one in inputs]
    features = torch.cat(rows).double()
    centred = features - features.mean(0)
    wanted = nn.functional.one_hot(torch.from_numpy(classes), last.out_features).double()
    ridge = 0.1 * centred.square().sum() / len(centred)
    kernel = centred @ centred.T + ridge * torch.eye(len(centred), dtype=torch.float64)
    weight = centred.T @ torch.linalg.solve(kernel, wanted - wanted.mean(0))
    with torch.no_grad():
        last.weight.copy_(8 * weight.T)
        last.bias.copy_(8 * (wanted.mean(0) - features.mean(0) @ weight))
