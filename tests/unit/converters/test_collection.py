"""Calibration objects from every kind of data, guarded, and found again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from converters.cache import Cache
from converters.collection import collect, read_facts, samples_of
from converters.samples import check_held_out
from converters.streams import open_stream
from edgekit.errors import DataError
from edgekit.manifest import Preprocessing, Resize
from edgekit.preprocessing import prepare

RNG = np.random.default_rng(3)
SMALL = Preprocessing(height=6, width=6, channels=3, resize=Resize.LETTERBOX, scale=1 / 255)
HERE = "tests.unit.converters.test_collection"


def smooth(count: int, size: int = 12) -> np.ndarray:
    """Return images whose neighbours resemble each other, [count, size, size, 3] uint8."""
    coarse = RNG.integers(0, 256, (count, 3, 3, 3), dtype=np.uint8)
    return np.stack([cv2.resize(one, (size, size)) for one in coarse])


IMAGES = smooth(40)


def as_folder(folder: Path) -> Path:
    for index, image in enumerate(IMAGES):
        place = folder / "images" / ("cat" if index % 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place / f"{index:02}.png"), image[..., ::-1])
    return folder / "images"


def as_npz(folder: Path) -> Path:
    np.savez(folder / "s.npz", images=IMAGES, labels=np.arange(40) % 2)
    return folder / "s.npz"


def as_parquet(folder: Path) -> Path:
    encoded = [cv2.imencode(".png", image[..., ::-1])[1].tobytes() for image in IMAGES]
    table = pa.table({"image": encoded, "label": [i % 2 for i in range(40)]})
    pq.write_table(table, folder / "s.parquet")
    return folder / "s.parquet"


def as_nested_parquet(folder: Path) -> Path:
    encoded = [cv2.imencode(".png", image[..., ::-1])[1].tobytes() for image in IMAGES]
    rows = [{"bytes": content, "path": "x.png"} for content in encoded]
    table = pa.table({"image": rows, "label": [i % 2 for i in range(40)]})
    pq.write_table(table, folder / "s.parquet")
    return folder / "s.parquet"


def as_tensors(folder: Path) -> Path:
    images = pa.FixedShapeTensorArray.from_numpy_ndarray(IMAGES)
    pq.write_table(pa.table({"image": images, "label": np.arange(40) % 2}), folder / "t.parquet")
    return folder / "t.parquet"


def pairs() -> Iterator[tuple[np.ndarray, int]]:
    yield from ((image, index % 2) for index, image in enumerate(IMAGES))


def mappings() -> Iterator[dict[str, Any]]:
    for index, image in enumerate(IMAGES):
        yield {"image": image, "label": index % 2, "rate": np.int64(16000)}


def ragged() -> list[np.ndarray]:
    return [smooth(1, 8 + index % 3)[0] for index in range(40)]


def ones() -> list[np.ndarray]:
    return [np.ones((4, 4), np.uint8)] * 50


def nothing() -> list[np.ndarray]:
    return []


def noise() -> list[np.ndarray]:
    return list(RNG.random((40, 32, 32)))


def few() -> list[np.ndarray]:
    return list(smooth(31))


def wrong() -> list[str]:
    return ["no sample"] * 40


def infinite() -> list[np.ndarray]:
    return [np.full((4, 4), np.inf)] * 40


KINDS = [as_folder, as_npz, as_parquet, as_nested_parquet, as_tensors]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_gives_the_same_samples(kind: Any, tmp_path: Path):
    data = kind(tmp_path)
    collected = collect(data, None, Cache(tmp_path / "c"))
    samples = samples_of(collected, data)
    assert samples.labels is not None
    found = {samples.images[i].tobytes(): int(samples.labels[i]) for i in range(len(samples))}
    wanted = {image.tobytes(): index % 2 for index, image in enumerate(IMAGES)}
    # The folder's classes come in the order of their names: cat, dog.
    assert found == ({k: 1 - v for k, v in wanted.items()} if kind is as_folder else wanted)
    assert collected.facts.classes == {"0": 20, "1": 20}
    assert collected.facts.shape == (12, 12, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_run_finds_the_object(kind: Any, tmp_path: Path):
    data, cache = kind(tmp_path), Cache(tmp_path / "c")
    first = collect(data, SMALL, cache)
    again = collect(data, SMALL, cache)
    assert not first.reused
    assert again.reused
    assert again.path == first.path
    other = collect(data, Preprocessing(height=5, width=6, channels=3, resize=SMALL.resize), cache)
    assert not other.reused
    assert other.facts.shape == (5, 6, 3)


def test_changed_data_are_built_anew(tmp_path: Path):
    cache = Cache(tmp_path / "c")
    first = collect(as_npz(tmp_path), None, cache)
    np.savez(tmp_path / "s.npz", images=IMAGES[::-1])
    again = collect(tmp_path / "s.npz", None, cache)
    assert not again.reused
    assert again.path != first.path


@pytest.mark.parametrize("function", ["pairs", "mappings"])
def test_a_function_gives_samples(function: str, tmp_path: Path):
    data = f"{HERE}:{function}"
    collected = collect(data, None, Cache(tmp_path))
    samples = samples_of(collected, data)
    np.testing.assert_array_equal(samples.images[7], IMAGES[7])
    assert samples.labels is not None
    assert samples.labels.tolist() == [i % 2 for i in range(40)]
    assert set(samples.arrays) == ({"rate"} if function == "mappings" else set())
    assert collect(data, None, Cache(tmp_path)).path == collected.path


def test_a_video_gives_frames(test_data: Path, tmp_path: Path):
    video = test_data / "intel_videos" / "car-detection.mp4"
    spec = Preprocessing(height=24, width=24, channels=3, resize=Resize.CENTER_CROP)
    facts = collect(video, spec, Cache(tmp_path), most=48).facts
    assert (facts.samples, facts.shape) == (48, (24, 24, 3))


def test_preparing_the_object_is_preparing_the_samples(tmp_path: Path):
    data = as_npz(tmp_path)
    samples = samples_of(collect(data, SMALL, Cache(tmp_path)), data)
    for index in (0, 39):
        wanted = prepare(IMAGES[index], SMALL)
        np.testing.assert_array_equal(prepare(samples.images[index], SMALL), wanted)


def test_samples_made_smaller_are_still_known_as_held_in(tmp_path: Path):
    data = as_npz(tmp_path)
    small = samples_of(collect(data, SMALL, Cache(tmp_path)), data)
    whole = samples_of(collect(data, None, Cache(tmp_path)), data)
    with pytest.raises(DataError, match="40 of 40 samples are also in"):
        check_held_out(whole, small)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("ragged", "images has shape"),
        ("ones", "constant"),
        ("nothing", "only 0 samples"),
        ("noise", "random numbers"),
        ("few", "only 31 samples"),
        ("wrong", "sample 0: is str"),
        ("infinite", "no finite numbers"),
        ("absent", "gives no samples"),
    ],
)
def test_data_without_use_leave_nothing_in_the_cache(function: str, reason: str, tmp_path: Path):
    with pytest.raises(DataError, match=reason):
        collect(f"{HERE}:{function}", None, Cache(tmp_path / "c"))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_images_of_several_sizes_are_brought_to_one(tmp_path: Path):
    assert collect(f"{HERE}:ragged", SMALL, Cache(tmp_path)).facts.shape == (6, 6, 3)


def test_rare_classes_are_warned_of(tmp_path: Path):
    np.savez(tmp_path / "s.npz", images=smooth(60), labels=np.array([0] * 57 + [1] * 3))
    warnings = collect(tmp_path / "s.npz", None, Cache(tmp_path / "c")).facts.warnings
    assert any("class 1 has 3 samples and class 0 57" in w for w in warnings)


def test_ranges_that_samples_left_out_exceed_are_warned_of(tmp_path: Path):
    images = smooth(60).astype(np.float32)
    images[29] *= 3
    np.savez(tmp_path / "s.npz", images=images)
    facts = collect(tmp_path / "s.npz", None, Cache(tmp_path / "c")).facts
    assert any(w.startswith("1 of 6 samples that were left out exceed") for w in facts.warnings)
    assert max(facts.high) == images.max()


def test_what_is_known_is_read_back(tmp_path: Path):
    collected = collect(as_npz(tmp_path), None, Cache(tmp_path / "c"), most=34)
    assert read_facts(collected.path) == collected.facts
    assert collected.facts.samples == 34
    with pytest.raises(DataError, match="no calibration object"):
        read_facts(as_npz(tmp_path))


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (pa.table({"pixels": [1, 2]}), "no column named image, but pixels"),
        (pa.table({"image": [b"no picture"] * 40}), "is no image"),
        (pa.table({"image": ["text"] * 40}), "neither images nor numbers"),
    ],
    ids=["column", "bytes", "text"],
)
def test_a_parquet_file_without_images_is_refused(table: Any, reason: str, tmp_path: Path):
    pq.write_table(table, tmp_path / "s.parquet")
    with pytest.raises(DataError, match=reason):
        collect(tmp_path / "s.parquet", None, Cache(tmp_path / "c"))


def test_what_is_no_parquet_is_refused(tmp_path: Path):
    (tmp_path / "s.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="no Parquet file"):
        open_stream(tmp_path / "s.parquet")
    with pytest.raises(DataError, match="cannot read"):
        open_stream(tmp_path / "absent.parquet")
