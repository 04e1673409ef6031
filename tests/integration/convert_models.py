"""Sources that the conversion tests name as factories, good ones and bad ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


def tiny() -> nn.Module:
    """Return a small CNN for [1, 1, 8, 8]; its weights come from the seed that the caller set."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 10),
    )


def hard_swish() -> nn.Module:
    """Return convolutions with and without hard-swish, and a dense layer, for [1, 1, 8, 8]."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.Hardswish(),
        nn.Conv2d(8, 8, 1),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


def trained_digits(images: np.ndarray, labels: np.ndarray) -> dict[str, torch.Tensor]:
    """Return the weights of `tiny` after a second of training on images [N, 8, 8] of 0 to 16."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, order = tiny(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    inputs = torch.tensor(images[:, None] / 16, dtype=torch.float32)
    classes = torch.tensor(labels)
    for _ in range(10):
        for batch in torch.randperm(len(inputs), generator=order).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs[batch]), classes[batch]).backward()
            optimizer.step()
    state: dict[str, torch.Tensor] = model.state_dict()
    return state


def constant() -> nn.Module:
    """Return a network that answers the same to everything."""
    last = nn.Linear(64, 10)
    nn.init.zeros_(last.weight)
    return nn.Sequential(nn.Flatten(), last)


def not_finite() -> nn.Module:
    """Return a network with one weight that is no number."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        model[1].weight[0, 0] = float("nan")
    return model


def not_a_module() -> dict[str, int]:
    """Return something else."""
    return {"weights": 1}


def fails() -> nn.Module:
    """Fail, as a factory with a bug does."""
    raise ValueError("the layers do not add up")


class NoForward(nn.Module):  # type: ignore[misc] # (torch is untyped here)
    """A module that somebody forgot to finish."""


class Branching(nn.Module):  # type: ignore[misc] # (torch is untyped here)
    """A module whose way depends on the values it is given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return one of two answers."""
        if x.sum() > 3:  # the line that the refusal names
            return x.flatten(1)
        return -x.flatten(1)


class Eigenvalues(nn.Module):  # type: ignore[misc] # (torch is untyped here)
    """A module with an operator that neither ONNX nor TFLite has."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ten scores."""
        values = torch.linalg.eigvalsh(x[:, 0] + x[:, 0].transpose(1, 2))  # the operator
        return torch.cat([values, values[:, :2]], dim=1)


class TwoHeads(nn.Module):  # type: ignore[misc] # (torch is untyped here)
    """A module with two outputs of different size."""

    def __init__(self) -> None:
        super().__init__()
        self.body = tiny()
        self.head = nn.Linear(10, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ten scores and three."""
        scores = self.body(x)
        return scores, self.head(scores)


class Words(nn.Module):  # type: ignore[misc] # (torch is untyped here)
    """A module of two inputs: a signal, and whole numbers that say which row to add."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Embedding(5, 8)
        self.last = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        """Return three scores."""
        return self.last(x + self.rows(which).mean(dim=1))


class Fixed(Words):
    """`Words` for one row at a time."""

    def forward(self, x: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        """Return three scores."""
        return super().forward(x, which).reshape(1, 3)


def skewed() -> nn.Module:
    """Return `tiny` made hard on purpose: one channel is huge before it is made small again."""
    model = tiny()
    with torch.no_grad():
        model[1].weight[0] *= 3000.0
        model[1].bias[0] *= 3000.0
        model[5].weight[:, :16] /= 3000.0
    return model


def coarse() -> nn.Module:
    """Return `tiny` skewed on purpose: one channel is dead, and the weights that it had are large.

    The steps of all other weights of the last layer grow with them; what these lose by rounding
    has a mean, for activations are positive.
    """
    model = tiny()
    with torch.no_grad():
        model[1].bias[0] = -50.0
        model[5].weight[:, :16] *= 30.0
    return model


class Recurrent(nn.Module):  # type: ignore[misc] # (torch is untyped here)
    """Two recurrent layers for [N, 20, 16], the answer of the last step, six scores."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rows = kind(16, 32, num_layers=2, batch_first=True)
        self.last = nn.Linear(32, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return six scores."""
        return self.last(self.rows(x)[0][:, -1])


def gru() -> nn.Module:
    """Return two GRUs with a linear layer after them."""
    return Recurrent(nn.GRU)


def lstm() -> nn.Module:
    """Return two LSTMs with a linear layer after them."""
    return Recurrent(nn.LSTM)


def gru_alone() -> nn.Module:
    """Return GRUs with nothing after them."""
    model = Recurrent(nn.GRU)
    model.last = nn.Identity()
    return model
