import numpy as np
import pytest

from converters.quantize import calibrate_on
from converters.quantize.calibration import looks_random
from converters.samples import Samples
from edgekit.errors import DataError
from edgekit.manifest import Preprocessing

RNG = np.random.default_rng(0)


def samples(images: np.ndarray) -> Samples:
    return Samples(where="calibration.npz", images=images, labels=None, sha256="0" * 64)


def different(count: int) -> np.ndarray:
    return RNG.integers(0, 256, (count, 4, 4), dtype=np.uint8)


def constant(count: int) -> np.ndarray:
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None], (count, 4, 4)).copy()


def ignore(_done: int, _total: int) -> None:
    pass


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (different(31), "only 31 samples"),
        (constant(64), "64 of 64 samples are constant"),
        (np.concatenate([different(40), constant(41)]), "41 of 81 samples are constant"),
        (np.concatenate([different(31), constant(9)]), "9 of 40 samples are constant"),
        (np.repeat(different(1), 64, axis=0), "63 of 64 samples are repetitions"),
        (np.repeat(different(20), 2, axis=0), "20 of 40 samples are repetitions"),
    ],
    ids=["few", "constant", "half-constant", "few-left", "one-repeated", "all-twice"],
)
def test_samples_that_say_too_little_are_refused(images: np.ndarray, reason: str):
    with pytest.raises(DataError, match=rf"calibration\.npz: .*{reason}"):
        calibrate_on(samples(images), None, ignore)


def test_random_numbers_are_refused():
    noise = RNG.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    with pytest.raises(DataError, match="40 of 40 samples are random numbers"):
        calibrate_on(samples(noise), None, ignore)


@pytest.mark.parametrize(
    "sample",
    [
        np.add.outer(np.arange(32), np.arange(32)).astype(np.uint8),
        np.sin(np.arange(4000) / 9).astype(np.float32),
        np.sin(np.arange(4000) / 9).reshape(4000, 1) + RNG.normal(size=(4000, 3)),
        RNG.integers(0, 30000, 512),
        RNG.normal(size=200),
        np.full((32, 32), 7.0),
    ],
    ids=["image", "signal", "noisy-signal", "words", "short", "constant"],
)
def test_what_has_structure_or_says_too_little_is_not_called_random(sample: np.ndarray):
    assert not looks_random(sample)


def test_thirty_two_different_samples_are_enough():
    assert len(list(calibrate_on(samples(different(32)), None, ignore).tensors())) == 32


def test_a_few_blank_and_repeated_samples_among_many_are_let_through():
    images = different(100)
    calibrate_on(samples(np.concatenate([images, constant(5), images[:5]])), None, ignore)


def test_tensors_are_prepared_one_at_a_time_and_told():
    told: list[tuple[int, int]] = []
    spec = Preprocessing(height=4, width=4, scale=1 / 255)
    calibration = calibrate_on(samples(different(32)), spec, lambda *done: told.append(done))
    tensors = calibration.tensors()
    (first,) = next(tensors)
    assert told == []
    assert first.shape == (1, 1, 4, 4)
    assert first.dtype == np.float32
    assert len(list(tensors)) == 31
    assert told[-1] == (32, 32)
