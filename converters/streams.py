"""Samples one after the other, wherever they come from: also Parquet files and Python functions.

What can be read in any order comes from `reading`. Nothing here keeps more than a few samples.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converters.extras import need
from converters.reading import decode_image, read_samples
from converters.samples import Samples
from edgekit.bundle import file_digest
from edgekit.errors import DataError, MissingExtraError
from edgekit.manifest import Preprocessing
from edgekit.runtime.base import Tensor

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_IMAGE, _LABEL = ("image", "images"), ("label", "labels")
_BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One raw sample.

    Attributes:
        image: For the model's first input, before preprocessing.
        label: Its class, from 0; None when it is not known.
        further: Whole tensors for further inputs, by name.
    """

    image: Tensor
    label: int | None = None
    further: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Samples that can be gone through.

    Attributes:
        where: File, folder or function, for messages.
        digest: SHA-256 of what is read; empty where only reading it would tell.
        total: How many there will be; None where only reading would tell.
        samples: Begins to read.
    """

    where: str
    digest: str
    total: int | None
    samples: Callable[[], Iterator[Sample]]


def open_stream(
    data: str | Path, preprocessing: Preprocessing | None = None, *, most: int = 0
) -> Stream:
    """Return the samples of a file, a folder or a function.

    Args:
        data: What `read_samples` takes; a .parquet file with a column "image" (encoded images or
            numbers) and perhaps "label"; or "module:function", whose result is gone through:
            arrays, pairs of array and class, or mappings with "image", perhaps "label" and further
            inputs.
        preprocessing: Says whether a folder holds recordings, see `read_samples`.
        most: Most samples, evenly chosen where their number is known, else the first; 0 takes all.

    Raises:
        DataError: It cannot be read.
        MissingExtraError: What reads it is not installed.
    """
    text, path = str(data), Path(data)
    if path.suffix.lower() == ".parquet":
        return _parquet(path, most)
    if _FUNCTION.fullmatch(text) and not path.exists():
        return Stream(where=text, digest="", total=None, samples=lambda: _called(text, most))
    return _indexed(read_samples(path, preprocessing), most)


def _indexed(samples: Samples, most: int) -> Stream:
    count = len(samples)
    chosen = range(count)
    if 0 < most < count:
        chosen = [int(i) for i in np.linspace(0, count - 1, most)]  # type: ignore[assignment]

    def read() -> Iterator[Sample]:
        for index in chosen:
            yield Sample(
                image=samples.images[index],
                label=None if samples.labels is None else int(samples.labels[index]),
                further={name: np.asarray(a[index]) for name, a in samples.arrays.items()},
            )

    return Stream(where=samples.where, digest=samples.sha256, total=len(chosen), samples=read)


def _parquet(path: Path, most: int) -> Stream:
    where = str(path)
    try:
        parquet = need("pyarrow.parquet")
    except MissingExtraError as error:
        raise MissingExtraError("pyarrow", "export") from error
    try:
        digest = file_digest(path)
        file = parquet.ParquetFile(path)
    except OSError as error:
        raise DataError(f"cannot read ({error.strerror or error})", where=where) from error
    except ValueError as error:
        raise DataError("is no Parquet file", where=where) from error
    names = file.schema_arrow.names
    image = next((name for name in _IMAGE if name in names), None)
    if image is None:
        raise DataError(f"has no column named image, but {', '.join(names)}", where=where)
    label = next((name for name in _LABEL if name in names), None)
    columns = [image, *([label] if label else [])]
    total = int(file.metadata.num_rows)

    def read() -> Iterator[Sample]:
        done = 0
        for batch in file.iter_batches(_BATCH, columns=columns):
            labels = batch.column(label).to_pylist() if label else [None] * len(batch)
            for pixels, one in zip(_cells(batch.column(image), where), labels, strict=True):
                if most and done >= most:
                    return
                yield Sample(image=pixels, label=one)
                done += 1

    return Stream(where=where, digest=digest, total=min(total, most or total), samples=read)


def _cells(column: Any, where: str) -> Iterator[Tensor]:  # noqa: ANN401 (pyarrow)
    """Yield the samples of a column: tensors of one shape, encoded images, or lists of numbers."""
    if hasattr(column, "to_numpy_ndarray"):
        yield from column.to_numpy_ndarray()
        return
    for cell in column:
        value = cell.as_py()
        content = value.get("bytes") if isinstance(value, dict) else value
        if isinstance(content, bytes):
            yield decode_image(content, where)
        elif isinstance(content, list):
            yield np.asarray(cell.values.to_numpy(zero_copy_only=False))
        else:
            raise DataError("the column of images holds neither images nor numbers", where=where)


def _called(text: str, most: int) -> Iterator[Sample]:
    module, _, attribute = text.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
        found: Iterable[object] = function() if callable(function) else function
        rows = iter(found)
    except (ImportError, AttributeError, TypeError) as error:
        raise DataError(f"gives no samples ({error})", where=text) from error
    for index, row in enumerate(rows):
        if most and index >= most:
            return
        yield _sample(row, f"{text} sample {index}")


def _sample(row: Any, where: str) -> Sample:  # noqa: ANN401 (what the function gives)
    match row:
        case np.ndarray():
            return Sample(image=row)
        case (image, label):
            return Sample(image=np.asarray(image), label=int(label))
        case {"image": image}:
            known: dict[str, Any] = dict(row)
            label = known.get("label")
            return Sample(
                image=np.asarray(image),
                label=None if label is None else int(label),
                further={n: np.asarray(v) for n, v in known.items() if n not in {"image", "label"}},
            )
        case _:
            raise DataError(
                f"is {type(row).__name__}",
                where=where,
                todo="give arrays, (array, class), mappings",
            )
