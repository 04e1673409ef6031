import numpy as np
import pytest

from converters.quantize import calibrate_on
from converters.quantize.headroom import Ends, exceeded
from converters.samples import Samples

KEPT = {"a": (0.0, 1.0), "b": (-1.0, 1.0), "c": (0.0, 0.0)}


@pytest.mark.parametrize(
    "whole",
    [KEPT, {**KEPT, "a": (0.0, 1.1)}, {**KEPT, "b": (-1.1, 1.1)}],
    ids=["equal", "a little above", "a little on both sides"],
)
def test_a_range_that_held_out_samples_hardly_widen_is_not_worth_a_word(whole: dict[str, Ends]):
    assert exceeded(KEPT, whole) == ()


def test_the_share_that_only_held_out_samples_reach_is_told_the_worst_three_first():
    names = ("conv", "relu", "mean", "gemm")
    kept = dict.fromkeys((*names, "calm"), (0.0, 1.0))
    whole = {**kept, **{n: (0.0, top) for n, top in zip(names, (2.0, 4.0, 1.25, 1.5), strict=True)}}
    (line,) = exceeded(kept, whole)
    assert "more than 10% of the range of 4 of 5 tensors" in line
    assert "alone: relu (75%), conv (50%), gemm (33%);" in line
    assert "mean" not in line
    assert "calm" not in line


def test_both_ends_and_tensors_that_were_constant_count():
    (line,) = exceeded(KEPT, {"a": (-1.0, 1.0), "b": (-1.0, 1.0), "c": (0.0, 0.5)})
    assert "alone: c (100%), a (50%);" in line


def test_of_a_long_name_the_end_is_told():
    name = "package.Network/torch.nn.Sequential_body/torch.nn.modules.conv.Conv2d_first;1"
    (line,) = exceeded({name: (0.0, 1.0)}, {name: (0.0, 2.0)})
    assert f"...{name[-40:]} (50%)" in line


def test_every_tenth_sample_is_taken_last_and_none_is_left_out():
    images = np.arange(1, 41, dtype=np.uint8)[:, None, None] * np.array([[0, 1]], np.uint8)
    samples = Samples(where="c.npz", images=images, labels=None, sha256="0" * 64)
    told: list[tuple[int, int]] = []
    calibration = calibrate_on(samples, None, lambda done, total: told.append((done, total)))
    kept, tensors = calibration.held_out_last()
    values = [int(one[0].max()) for one in tensors]
    assert kept == 36
    assert values[kept:] == [10, 20, 30, 40]
    assert sorted(values) == list(range(1, 41))
    assert told == [(done, 40) for done in range(1, 41)]
