"""Reads samples: .npz files, folders of images or recordings, videos. Says what is wrong.

Rows of an uncompressed .npz (what `numpy.savez` writes), images and frames are read when asked for,
so that memory does not grow with the number of samples.
"""

from __future__ import annotations

import hashlib
import struct
import zipfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.extras import need
from converters.samples import Samples
from edgekit.audio import decode_wave
from edgekit.bundle import file_digest
from edgekit.errors import DataError
from edgekit.manifest import AudioFeatures, Preprocessing
from edgekit.preprocessing import sized
from edgekit.runtime.base import Tensor

IMAGES = {".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".webp"}
RECORDINGS = {".wav"}
VIDEOS = {".avi", ".mkv", ".mov", ".mp4"}
MAX_FRAMES = 300
_SKIPPED = 50
_WRITE = "write it with numpy.savez(path, images=..., labels=...)"
_RESERVED = {"images", "labels", "fingerprints"}


def read_samples(path: Path, preprocessing: Preprocessing | None = None) -> Samples:
    """Read samples from a file or a folder.

    An .npz file has an array `images` and perhaps one `labels`, `targets`, or one for each further
    input of the model. A folder holds images, or one folder of images a class (classes in the order
    of their names); where the preprocessing is of audio, WAV files of 16-bit PCM, mono, which come
    in the length that it says. Of a video up to 300 frames are taken, evenly. Images and frames are
    RGB.

    Raises:
        DataError: No such file, of no known kind, empty, values that are not finite, or labels
            that do not match.
    """
    if path.is_dir():
        return _folder(path, preprocessing)
    if path.suffix.lower() in VIDEOS:
        return _video(path)
    return _npz(path)


def _npz(path: Path) -> Samples:
    where = str(path)
    try:
        found = _arrays(path)
        digest = file_digest(path)
    except OSError as error:
        raise DataError(f"cannot read ({error.strerror or 'damaged'})", where=where) from error
    except (ValueError, TypeError, EOFError, SyntaxError, zipfile.BadZipFile) as error:
        raise DataError("is no .npz file of plain arrays", where=where, todo=_WRITE) from error
    if "images" not in found:
        names = ", ".join(found) or "none"
        raise DataError(f"has no array named images (it has {names})", where=where, todo=_WRITE)
    images = found["images"]
    if images.ndim < 2 or len(images) == 0:
        raise DataError("holds no samples", where=where)
    if images.dtype.kind not in "uif" or not _finite(images):
        raise DataError("holds values that are no finite numbers", where=where)
    labels = _labels(found.get("labels"), len(images), where)
    others = {
        n: a for n, a in found.items() if n not in _RESERVED and a.shape[:1] == images.shape[:1]
    }
    return Samples(
        where=where,
        images=images,
        labels=labels,
        sha256=digest,
        arrays=others,
        prints=_prints(found.get("fingerprints"), len(images), where),
    )


def _prints(given: Tensor | _Rows | None, count: int, where: str) -> tuple[bytes, ...] | None:
    """Return the digests of the samples before they were made smaller, where they are told."""
    if given is None:
        return None
    if given.shape[:1] != (count,) or given.dtype != np.uint8:
        raise DataError("the fingerprints are not one a sample", where=where)
    return tuple(given[index].tobytes() for index in range(count))


def _arrays(path: Path) -> dict[str, Tensor | _Rows]:
    with zipfile.ZipFile(path) as archive:
        entries = [e for e in archive.infolist() if e.filename.endswith(".npy")]
        return {e.filename.removesuffix(".npy"): _member(path, archive, e) for e in entries}


def _member(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Tensor | _Rows:
    """Return an array, mapped where its bytes lie in the file as they are."""
    with archive.open(entry) as member:
        major, _ = np.lib.format.read_magic(member)
        read = (
            np.lib.format.read_array_header_1_0
            if major == 1
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(member)
        header = member.tell()
    if dtype.hasobject:
        raise ValueError("objects")
    plain = entry.compress_type == zipfile.ZIP_STORED and not fortran and 0 not in shape
    if plain and len(shape) > 1:
        start = _start(path, entry) + header
        return _Rows(path, start, shape, dtype)
    with archive.open(entry) as member:
        array: Tensor = np.lib.format.read_array(member, allow_pickle=False)
        return array


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of an array in a file, read one at a time."""

    path: Path
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int, /) -> Tensor:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        count = int(np.prod(self.shape[1:]))
        at = self.start + (index % len(self)) * count * self.dtype.itemsize
        row = np.fromfile(self.path, self.dtype, count, offset=at)
        if len(row) != count:
            raise DataError("is truncated", where=str(self.path))
        return row.reshape(self.shape[1:])


def _start(path: Path, entry: zipfile.ZipInfo) -> int:
    """Return where the bytes of an entry begin: after its local header.

    Source: PKWARE APPNOTE 4.3.7: 30 bytes, then the name and the extra field.
    """
    with path.open("rb") as handle:
        handle.seek(entry.header_offset + 26)
        name, extra = struct.unpack("<HH", handle.read(4))
    return int(entry.header_offset + 30 + name + extra)


def _finite(array: Tensor | _Rows) -> bool:
    if array.dtype.kind != "f":
        return True
    return all(bool(np.isfinite(array[index]).all()) for index in range(len(array)))


def _labels(given: Tensor | _Rows | None, count: int, where: str) -> Tensor | None:
    if given is None or len(given) == 0:
        return None
    labels = np.asarray(given)
    if labels.shape != (count,) or labels.dtype.kind not in "ui" or int(labels.min()) < 0:
        raise DataError(
            f"labels are {labels.dtype.name} of shape {list(labels.shape)}, not one class index "
            f"(0, 1, ...) for each of {count} samples",
            where=where,
        )
    return labels.astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Files:
    """Files of a folder, decoded one at a time."""

    paths: tuple[Path, ...]
    decode: Callable[[bytes, str], Tensor]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int, /) -> Tensor:
        return self.decode(self.paths[index].read_bytes(), str(self.paths[index]))


def decode_image(content: bytes, where: str) -> Tensor:
    """Return an encoded image as RGB [H, W, 3] uint8.

    Raises:
        DataError: It is none.
    """
    cv2 = need("cv2")
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if pixels is None:
        raise DataError("is no image", where=where)
    return np.ascontiguousarray(pixels[..., ::-1])


def _recording(preprocessing: Preprocessing, audio: AudioFeatures) -> Callable[..., Tensor]:
    """Return what decodes a WAV file to a waveform [samples], int16, of the declared length."""

    def decode(content: bytes, where: str) -> Tensor:
        try:
            return sized(decode_wave(content, audio), preprocessing)
        except DataError as error:
            raise DataError(error.what, where=where, todo=error.todo) from error

    return decode


def _folder(path: Path, preprocessing: Preprocessing | None) -> Samples:
    suffixes, decode, what = IMAGES, decode_image, "images"
    if preprocessing is not None and preprocessing.audio is not None:
        suffixes, what = RECORDINGS, "WAV files"
        decode = _recording(preprocessing, preprocessing.audio)
    classes = sorted(child for child in path.iterdir() if child.is_dir())
    by_class = [list(_files_in(folder, suffixes)) for folder in classes]
    if any(by_class):
        files = [file for found in by_class for file in found]
        labels = np.repeat(np.arange(len(classes)), [len(found) for found in by_class])
    else:
        files, labels = list(_files_in(path, suffixes)), None
    if not files:
        raise DataError("holds no samples", where=str(path), todo=f"give a folder of {what}")
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(path)}|{file_digest(file)}\n".encode())
    return Samples(
        where=str(path),
        images=_Files(tuple(files), decode),
        labels=labels,
        sha256=digest.hexdigest(),
    )


def _files_in(folder: Path, suffixes: Collection[str]) -> Iterator[Path]:
    return (f for f in sorted(folder.iterdir()) if f.suffix.lower() in suffixes and f.is_file())


class _Frames:
    """Frames of a video, evenly chosen, decoded one at a time, RGB [H, W, 3] uint8."""

    def __init__(self, path: Path, capture: Any, positions: tuple[int, ...]) -> None:  # noqa: ANN401 (OpenCV)
        self._path, self._capture, self._positions = path, capture, positions
        self._next = 0

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: int, /) -> Tensor:
        wanted = self._positions[index]
        ahead = wanted - self._next
        if not 0 <= ahead < _SKIPPED:
            # Seeking decodes from the last whole picture on: only for long ways, or back.
            self._capture.set(need("cv2").CAP_PROP_POS_FRAMES, wanted)
            ahead = 0
        there = all(self._capture.grab() for _ in range(ahead + 1))
        there, pixels = self._capture.retrieve() if there else (False, None)
        self._next = wanted + 1
        if not there or pixels is None:
            self._next = -1
            raise DataError(f"frame {wanted} is damaged", where=str(self._path))
        return np.ascontiguousarray(pixels[..., ::-1])


def _video(path: Path) -> Samples:
    cv2 = need("cv2")
    try:
        digest = file_digest(path)
    except OSError as error:
        raise DataError(f"cannot read ({error.strerror})", where=str(path)) from error
    capture = cv2.VideoCapture(str(path))
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    if count < 1:
        raise DataError("is no video that OpenCV reads", where=str(path))
    chosen = tuple(
        int(p) for p in np.unique(np.linspace(0, count - 1, min(count, MAX_FRAMES)).astype(int))
    )
    return Samples(
        where=str(path), images=_Frames(path, capture, chosen), labels=None, sha256=digest
    )
