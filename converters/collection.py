"""Builds the calibration object: guarded samples in one file, once for every conversion.

The file is an .npz that `read_samples` takes, with what is known about the samples as
`calibration.json`. Samples go through one at a time: images are brought to the model's size on the
way, where the preprocessing says it, and memory does not grow with their number.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import numpy as np

from converters.cache import Cache, key_of
from converters.quantize.calibration import HOLD_OUT, Guard
from converters.reading import read_samples
from converters.samples import Samples
from converters.streams import Sample, Stream, open_stream
from edgekit import codec
from edgekit.errors import DataError
from edgekit.manifest import Preprocessing
from edgekit.preprocessing import sized
from edgekit.runtime.base import Tensor

FACTS = "calibration.json"
_KIND = "calibration"
_FORMAT = 1
_EPOCH = (1980, 1, 1, 0, 0, 0)
_RARE = 10
_BEYOND = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known about a calibration object.

    Attributes:
        where: What it was built from, as it was named.
        data: SHA-256 of what was read; empty for a function.
        samples: How many.
        shape: Of each sample.
        dtype: NumPy name of the element type.
        classes: Samples by class; empty where classes are not known.
        low: Smallest value, by channel where the last axis has at most four, else of all.
        high: Largest value, likewise.
        warnings: What may make ranges worse than they could be.
        format_version: Version of the file, "major.minor".
    """

    where: str
    data: str
    samples: int
    shape: tuple[int, ...]
    dtype: str
    classes: dict[str, int] = field(default_factory=dict)
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    warnings: tuple[str, ...] = ()
    format_version: str = "1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """A calibration object.

    Attributes:
        path: The file.
        facts: What is known about it.
        reused: Whether an earlier run had built it.
    """

    path: Path
    facts: Facts
    reused: bool


def collect(
    data: str | Path,
    preprocessing: Preprocessing | None,
    cache: Cache,
    *,
    most: int = 0,
    advance: Callable[[int, int], None] = lambda *_: None,
) -> Collected:
    """Return the calibration object of some data; one that was built before is found.

    Args:
        data: As `open_stream` takes it.
        preprocessing: Images are brought to its size; None keeps samples as they are.
        cache: Where it is kept. Of a function's samples nothing is known before they are read:
            they are read each time, and equal ones give the same file.
        most: Most samples; 0 takes all.
        advance: Told how many samples are done, and of how many; of 0 where that is not known.

    Raises:
        DataError: It cannot be read, or ranges cannot be taken from it.
        StorageError: No room or no permission.
    """
    stream = open_stream(data, preprocessing, most=most)
    size = preprocessing and (preprocessing.height, preprocessing.width, preprocessing.channels)
    how = preprocessing and (size, preprocessing.resize, preprocessing.audio)
    key = key_of(format=_FORMAT, data=stream.digest, how=how, most=most)
    found = cache.find(_KIND, key) if stream.digest else None
    if found is not None:
        return Collected(path=found, facts=read_facts(found), reused=True)

    def write(path: Path) -> None:
        with (
            tempfile.TemporaryDirectory(dir=path.parent) as folder,
            closing(_Writer(Path(folder), stream, preprocessing)) as writer,
        ):
            for index, sample in enumerate(stream.samples()):
                writer.add(sample)
                advance(index + 1, stream.total or 0)
            writer.finish(path)

    path = cache.put(_KIND, key, write)
    return Collected(path=path, facts=read_facts(path), reused=False)


def read_facts(path: Path) -> Facts:
    """Return what is known about a calibration object.

    Raises:
        DataError: The file is none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            data = archive.read(FACTS)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DataError("is no calibration object", where=str(path)) from error
    return codec.decode(data, Facts, where=str(path))


def samples_of(collected: Collected, data: str | Path) -> Samples:
    """Return the samples of a calibration object, named and digested as what it was built from."""
    samples = read_samples(collected.path)
    return replace(samples, where=str(data), sha256=collected.facts.data or samples.sha256)


class _Rows:
    """An array that grows in a file, row by row of one shape and type."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self.count, self.shape, self.dtype = 0, (0,), np.dtype(np.float32)
        self._file = path.open("wb")

    def add(self, row: Tensor, where: str) -> None:
        if self.count == 0:
            self.shape, self.dtype = row.shape, row.dtype
        if row.shape != self.shape or row.dtype != self.dtype:
            raise DataError(
                f"{self._name} has shape {list(row.shape)} {row.dtype}, "
                f"the first one {list(self.shape)} {self.dtype}",
                where=where,
                todo="give --preprocessing with a resize, or samples of one shape",
            )
        self._file.write(np.ascontiguousarray(row).tobytes())
        self.count += 1

    def close(self) -> None:
        self._file.close()

    def write_to(self, out: IO[bytes]) -> None:
        self.close()
        header = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self.count, *self.shape),
        }
        np.lib.format.write_array_header_1_0(out, header)
        with self._path.open("rb") as rows:
            shutil.copyfileobj(rows, out, 1 << 20)


class _Writer:
    """Takes samples in, guards them, and writes the object."""

    def __init__(self, folder: Path, stream: Stream, preprocessing: Preprocessing | None) -> None:
        self._folder, self._preprocessing = folder, preprocessing
        self._where, self._data = stream.where, stream.digest
        self._guard, self._ranges = Guard(stream.where), Ranges()
        self._arrays: dict[str, _Rows] = {}
        self._labels: list[int] = []

    def add(self, sample: Sample) -> None:
        where = f"{self._where} sample {self._count}"
        image = sample.image
        if image.dtype.kind not in "uif" or not (
            image.dtype.kind != "f" or np.isfinite(image).all()
        ):
            raise DataError("holds values that are no finite numbers", where=where)
        print_ = np.frombuffer(self._guard.see(image), np.uint8)
        small = image if self._preprocessing is None else _sized(image, self._preprocessing, where)
        self._ranges.see(small)
        for name, row in {"images": small, "fingerprints": print_, **sample.further}.items():
            self._array(name).add(row, where)
        if sample.label is not None:
            self._labels.append(sample.label)

    @property
    def _count(self) -> int:
        return self._arrays["images"].count if self._arrays else 0

    def _array(self, name: str) -> _Rows:
        if name not in self._arrays:
            self._arrays[name] = _Rows(self._folder / str(len(self._arrays)), name)
        return self._arrays[name]

    def close(self) -> None:
        for rows in self._arrays.values():
            rows.close()

    def finish(self, path: Path) -> None:
        self._guard.decide()
        count = self._count
        labels = self._labels if len(self._labels) == count else []
        for label in labels:
            self._array("labels").add(np.asarray(label, np.int64), self._where)
        images = self._arrays["images"]
        low, high = self._ranges.ends()
        facts = Facts(
            where=Path(self._where).name,
            data=self._data,
            samples=count,
            shape=images.shape,
            dtype=str(images.dtype),
            classes={str(name): n for name, n in sorted(Counter(labels).items())},
            low=low,
            high=high,
            warnings=(*_imbalance(labels), *self._ranges.warnings()),
        )
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(zipfile.ZipInfo(FACTS, _EPOCH), codec.encode(facts))
            for name, rows in sorted(self._arrays.items()):
                info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
                with archive.open(info, "w", force_zip64=True) as member:
                    rows.write_to(member)


def _sized(image: Tensor, preprocessing: Preprocessing, where: str) -> Tensor:
    try:
        return sized(image, preprocessing)
    except DataError as error:
        raise DataError(error.what, where=where, todo=error.todo) from error


def _imbalance(labels: list[int]) -> tuple[str, ...]:
    """Warn of classes that occur ten times less often than others."""
    counts = Counter(labels)
    if not counts:
        return ()
    (most, many), *_, (least, few) = [*counts.most_common(), *counts.most_common()[-1:]]
    if few * _RARE >= many:
        return ()
    return (f"class {least} has {few} samples and class {most} {many}: its ranges may be missed",)


class Ranges:
    """Smallest and largest values, and whether every tenth sample would have exceeded the rest."""

    def __init__(self) -> None:
        """Begin with none."""
        self._count = 0
        self._seen: tuple[Tensor, Tensor] | None = None
        self._held_out: list[tuple[Tensor, Tensor]] = []

    def see(self, sample: Tensor) -> None:
        """Take a sample into account."""
        axes = tuple(range(sample.ndim - 1)) if sample.ndim > 1 and sample.shape[-1] <= 4 else None
        low, high = (
            np.atleast_1d(f(sample, axis=axes)).astype(np.float64) for f in (np.min, np.max)
        )
        self._count += 1
        if self._count % HOLD_OUT == 0:
            self._held_out.append((low, high))
        else:
            self._seen = (low, high) if self._seen is None else _outermost(self._seen, (low, high))

    def ends(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the smallest and the largest value of each channel."""
        if self._seen is None:
            return (), ()
        ends = self._seen
        for other in self._held_out:
            ends = _outermost(ends, other)
        low, high = ends
        return tuple(map(float, low)), tuple(map(float, high))

    def warnings(self) -> tuple[str, ...]:
        """Warn where samples that were left out exceed the ranges of the others."""
        if self._seen is None:
            return ()
        low, high = self._seen
        margin = _BEYOND * (high - low)
        beyond = sum(
            bool(np.any(a < low - margin) or np.any(b > high + margin)) for a, b in self._held_out
        )
        if not beyond:
            return ()
        return (
            f"{beyond} of {len(self._held_out)} samples that were left out exceed the range of "
            "the others: more samples would widen it",
        )


def _outermost(some: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return np.minimum(some[0], others[0]), np.maximum(some[1], others[1])
