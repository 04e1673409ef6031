from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.reading import read_samples
from converters.samples import Samples, check_held_out, check_values
from edgekit.errors import DataError
from edgekit.manifest import Preprocessing

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 17, (40, 8, 8), dtype=np.uint8)
LABELS = np.arange(40) % 10


def samples(images: np.ndarray, where: str = "held-out.npz") -> Samples:
    return Samples(where=where, images=images, labels=None, sha256="0" * 64)


def test_images_and_labels_are_read(tmp_path: Path):
    np.savez(tmp_path / "s.npz", images=IMAGES, labels=LABELS.astype(np.uint8))
    read = read_samples(tmp_path / "s.npz")
    assert len(read) == 40
    np.testing.assert_array_equal(read.images, IMAGES)
    np.testing.assert_array_equal(read.labelled(), LABELS)


def test_samples_without_labels_refuse_to_be_an_evaluation(tmp_path: Path):
    np.savez(tmp_path / "s.npz", images=IMAGES)
    with pytest.raises(DataError, match=r"s\.npz: holds no labels"):
        read_samples(tmp_path / "s.npz").labelled()


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"pictures": IMAGES}, "no array named images"),
        ({"images": IMAGES[:0]}, "no samples"),
        ({"images": np.full((3, 2), np.nan)}, "finite"),
        ({"images": np.array([["a", "b"]])}, "finite"),
        ({"images": IMAGES, "labels": LABELS[:7]}, "labels"),
        ({"images": IMAGES, "labels": LABELS - 1}, "labels"),
        ({"images": IMAGES, "labels": LABELS / 2}, "labels"),
        ({"images": np.array([{}, {}])}, "plain arrays"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(
    tmp_path: Path, arrays: dict[str, np.ndarray], reason: str
):
    np.savez(tmp_path / "bad.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=rf"bad\.npz.*{reason}"):
        read_samples(tmp_path / "bad.npz").labelled()


def test_a_file_that_is_no_npz_is_refused(tmp_path: Path):
    (tmp_path / "s.npz").write_bytes(b"not a zip")
    with pytest.raises(DataError, match=r"s\.npz"):
        read_samples(tmp_path / "s.npz")


def test_a_truncated_file_is_refused(tmp_path: Path):
    np.savez(tmp_path / "s.npz", images=IMAGES)
    whole = (tmp_path / "s.npz").read_bytes()
    (tmp_path / "s.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"s\.npz"):
        read_samples(tmp_path / "s.npz")


def test_a_single_array_is_refused(tmp_path: Path):
    np.save(tmp_path / "s.npy", IMAGES)
    with pytest.raises(DataError, match="plain arrays"):
        read_samples(tmp_path / "s.npy")


def test_an_absent_file_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="No such file"):
        read_samples(tmp_path / "absent.npz")


def test_an_evaluation_on_calibration_samples_is_refused():
    with pytest.raises(DataError, match="40 of 40 samples are also in calibration"):
        check_held_out(samples(IMAGES), samples(IMAGES, "calibration.npz"))


def test_one_repeated_sample_in_twenty_is_let_through():
    other = RNG.integers(0, 17, (38, 8, 8), dtype=np.uint8)
    check_held_out(samples(np.concatenate([IMAGES[:2], other])), samples(IMAGES))


def test_a_sample_that_does_not_suit_the_preprocessing_is_named():
    with pytest.raises(DataError, match=r"held-out\.npz sample 3: .*8x8.*9x9"):
        samples(IMAGES).tensors(3, Preprocessing(height=9, width=9))


BYTES = RNG.integers(0, 256, (40, 8, 8), dtype=np.uint8)
BYTES[:, 0, :2] = (0, 255)
SHARES = (BYTES / 255).astype(np.float32)
NORMAL = {"mean": (0.485,), "std": (0.229,)}


@pytest.mark.parametrize(
    ("images", "declared", "told"),
    [
        (SHARES, {"scale": 1 / 255}, "values from 0 to 1, .* makes a range of 0.00392 of that"),
        (SHARES, {"scale": 1 / 127.5, "mean": (1.0,)}, "a range of 0.00784"),
        (SHARES, {"scale": 1 / 255, **NORMAL}, "its scale is 0.003922: 1/255 suits 0 to 255"),
        (BYTES, {"scale": 1.0, **NORMAL}, "values from 0 to 255, .* a range of 1.11e.03"),
    ],
    ids=["shares-as-bytes", "shares-around-0", "shares-normalized", "bytes-as-shares"],
)
def test_values_of_another_size_than_declared_are_refused(
    images: np.ndarray, declared: dict[str, Any], told: str
):
    with pytest.raises(DataError, match=rf"held-out\.npz: .*{told}"):
        check_values(samples(images), Preprocessing(height=8, width=8, **declared))


@pytest.mark.parametrize(
    ("images", "declared"),
    [
        (BYTES, {"scale": 1 / 255, **NORMAL}),
        (BYTES, {}),
        (BYTES, {"mean": (123.7,), "std": (58.4,)}),
        (SHARES, NORMAL),
        (IMAGES, {"scale": 1 / 16}),
        (IMAGES, {"scale": 1 / 255}),
    ],
    ids=["bytes", "as-they-come", "caffe", "shares", "digits", "dark"],
)
def test_values_that_suit_what_is_declared_pass(images: np.ndarray, declared: dict[str, Any]):
    check_values(samples(images), Preprocessing(height=8, width=8, **declared))
