import wave
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters.reading import MAX_FRAMES, read_samples
from edgekit.errors import DataError
from edgekit.manifest import AudioFeatures, Preprocessing

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)


def test_rows_of_a_plain_file_are_read_when_asked_for(tmp_path: Path):
    np.savez(tmp_path / "s.npz", images=IMAGES, state=np.arange(10.0).reshape(5, 2, 1))
    samples = read_samples(tmp_path / "s.npz")
    assert not isinstance(samples.images, np.ndarray)
    for index in range(5):
        np.testing.assert_array_equal(samples.images[index], IMAGES[index])
        np.testing.assert_array_equal(
            samples.arrays["state"][index], [[2 * index], [2 * index + 1]]
        )
    with pytest.raises(IndexError):
        samples.images[5]


def test_a_compressed_file_holds_the_same(tmp_path: Path):
    np.savez_compressed(tmp_path / "s.npz", images=IMAGES, labels=np.arange(5))
    samples = read_samples(tmp_path / "s.npz")
    np.testing.assert_array_equal(samples.images[3], IMAGES[3])
    np.testing.assert_array_equal(samples.labelled(), np.arange(5))


def test_arrays_of_another_length_are_no_inputs(tmp_path: Path):
    np.savez(tmp_path / "s.npz", images=IMAGES, notes=np.arange(3), scalar=np.float32(1))
    assert read_samples(tmp_path / "s.npz").arrays == {}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for kind in ("cat", "dog"):
        (tmp_path / "f" / kind).mkdir(parents=True)
        for index in range(2):
            colour = np.zeros((4 + index, 5, 3), np.uint8)
            colour[..., 2] = 200 if kind == "dog" else 100
            cv2.imwrite(str(tmp_path / "f" / kind / f"{index}.png"), colour)
    return tmp_path / "f"


def test_a_folder_a_class_gives_labels_in_the_order_of_names(folder: Path):
    samples = read_samples(folder)
    np.testing.assert_array_equal(samples.labelled(), [0, 0, 1, 1])
    assert samples.images[3].shape == (5, 5, 3)


def test_pictures_are_red_green_blue(folder: Path):
    np.testing.assert_array_equal(read_samples(folder).images[2][0, 0], [200, 0, 0])


def test_a_flat_folder_has_no_labels_and_an_empty_one_is_refused(folder: Path, tmp_path: Path):
    assert read_samples(folder / "cat").labels is None
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no samples"):
        read_samples(tmp_path / "empty")


def test_a_file_that_is_no_picture_is_named(folder: Path):
    (folder / "cat" / "0.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"0\.png: is no image"):
        read_samples(folder).images[0]


def test_the_digest_of_a_folder_follows_its_content(folder: Path):
    before = read_samples(folder).sha256
    assert read_samples(folder).sha256 == before
    (folder / "dog" / "1.png").unlink()
    assert read_samples(folder).sha256 != before


def test_frames_of_a_video_are_taken_evenly(test_data: Path):
    samples = read_samples(test_data / "intel_videos" / "car-detection.mp4")
    assert len(samples) == MAX_FRAMES
    assert samples.images[0].shape == (432, 768, 3)
    assert not np.array_equal(samples.images[0], samples.images[200])


def test_a_frame_is_the_same_whatever_was_read_before(test_data: Path):
    video = test_data / "intel_videos" / "car-detection.mp4"
    forward = read_samples(video).images
    there = [forward[index].copy() for index in range(20)]
    other = read_samples(video).images
    for index in (19, 3, 4, 11):
        np.testing.assert_array_equal(other[index], there[index])


def test_a_file_that_is_no_video_is_refused(tmp_path: Path):
    (tmp_path / "v.mp4").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"v\.mp4: is no video"):
        read_samples(tmp_path / "v.mp4")


SPEECH = Preprocessing(
    height=4,
    width=8,
    audio=AudioFeatures(
        sample_rate_hz=8000,
        frame_length=64,
        hop_length=32,
        fft_size=64,
        mel_bands=8,
        fmax_hz=4000.0,
        pad=True,
    ),
)


def write_wave(path: Path, samples: int, rate_hz: int = 8000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.arange(1, samples + 1, dtype="<i2").tobytes())


def test_a_folder_of_recordings_gives_waveforms_of_the_declared_length(tmp_path: Path):
    for name, length in (("no/a.wav", 100), ("no/b.wav", 300), ("yes/c.wav", 160)):
        write_wave(tmp_path / name, length)
    samples = read_samples(tmp_path, SPEECH)
    np.testing.assert_array_equal(samples.labelled(), [0, 0, 1])
    assert [len(samples.images[index]) for index in range(3)] == [160, 160, 160]
    np.testing.assert_array_equal(samples.images[0], [*range(1, 101), *[0] * 60])
    assert samples.tensors(1, SPEECH)[0].shape == (1, 1, 4, 8)


def test_a_recording_at_another_rate_is_named(tmp_path: Path):
    write_wave(tmp_path / "a.wav", 100, rate_hz=16000)
    with pytest.raises(DataError, match=r"a\.wav: is sampled at 16000 Hz, the model takes 8000"):
        read_samples(tmp_path, SPEECH).images[0]


def test_recordings_for_a_model_of_images_are_no_samples(tmp_path: Path):
    write_wave(tmp_path / "a.wav", 100)
    with pytest.raises(DataError, match="holds no samples; give a folder of images"):
        read_samples(tmp_path)
