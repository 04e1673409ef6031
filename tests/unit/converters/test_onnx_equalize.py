from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from converters.targets.onnx_equalize import equalize
from converters.targets.onnx_quantize import prepare
from edgekit.manifest import ModelFormat
from edgekit.runtime import open_session


def write(folder: Path, model: nn.Module, shape: tuple[int, ...]) -> Path:
    torch.onnx.export(
        model.eval(),
        (torch.zeros(shape),),
        folder / "raw.onnx",
        dynamo=True,
        verbose=False,
        external_data=False,
    )
    prepare(folder / "raw.onnx", folder / "model.onnx")
    return folder / "model.onnx"


def skewed(*layers: nn.Module) -> nn.Module:
    """Return layers with one channel of the first made large and small again in the last."""
    torch.manual_seed(0)
    model = nn.Sequential(*layers)
    with torch.no_grad():
        model[0].weight[0] *= 1000.0
        model[0].bias[0] *= 1000.0
    return model


def spread(model: Path) -> float:
    """Return the largest over the smallest range of an output channel of the first layer."""
    first = onnx.load(model).graph
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in first.initializer}
    conv = next(n for n in first.node if n.op_type == "Conv")
    ranges = np.abs(weights[conv.input[1]]).reshape(len(weights[conv.input[1]]), -1).max(axis=1)
    return float(ranges.max() / ranges.min())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "layers",
    [
        (nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)),
        (
            nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(),
            nn.Conv2d(8, 4, 1),
        ),
        (nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(288, 5)),
    ],
    ids=["convolutions", "depthwise between", "pool, flatten, linear"],
)  # fmt: skip
def test_channels_become_alike_and_answers_stay(tmp_path: Path, layers: tuple[nn.Module, ...]):
    model = write(tmp_path, skewed(*layers), (1, 3, 14, 14))
    x = np.random.default_rng(0).normal(0, 1, (1, 3, 14, 14)).astype(np.float32)
    before, apart = open_session(model, ModelFormat.ONNX).run([x])[0], spread(model)
    assert equalize(model)
    after = open_session(model, ModelFormat.ONNX).run([x])[0]
    np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-3 * np.abs(before).max())
    assert spread(model) < apart / 10


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "layers",
    [
        (nn.Conv2d(3, 8, 3), nn.Hardswish(), nn.Conv2d(8, 4, 3)),
        (nn.Conv2d(3, 8, 3), nn.ReLU6(), nn.Conv2d(8, 4, 3)),
    ],
    ids=["hard-swish", "relu6"],
)
def test_past_what_does_not_scale_nothing_moves(tmp_path: Path, layers: tuple[nn.Module, ...]):
    model = write(tmp_path, skewed(*layers), (1, 3, 14, 14))
    before = model.read_bytes()
    assert not equalize(model)
    assert len(model.read_bytes()) == len(before)
