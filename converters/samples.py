"""Reads the images and labels that a conversion is calibrated and proven on.

It says what is wrong with a file; whether samples suit calibration is said in
`quantize.calibration`.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.bundle import file_digest
from edgekit.errors import DataError
from edgekit.manifest import Preprocessing
from edgekit.preprocessing import prepare
from edgekit.runtime.base import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Raw samples along the first axis, with their classes if known.

    Attributes:
        where: The file, for messages.
        images: [N, ...], as they come before preprocessing.
        labels: [N], int64, class indices from 0; None when the file has none.
        sha256: Digest of the file.
    """

    where: str
    images: Tensor
    labels: Tensor | None
    sha256: str

    def __len__(self) -> int:
        return len(self.images)

    def tensor(self, index: int, preprocessing: Preprocessing | None) -> Tensor:
        """Return one sample as the model's input, batch 1.

        Raises:
            DataError: It does not suit the preprocessing; the message names file and sample.
        """
        try:
            return prepare(self.images[index], preprocessing)
        except DataError as error:
            raise DataError(
                error.what, where=f"{self.where} sample {index}", todo=error.todo
            ) from error

    def labelled(self) -> Tensor:
        """Return the labels.

        Raises:
            DataError: There are none.
        """
        if self.labels is None:
            raise DataError(
                "holds no labels, so no accuracy can be measured on it",
                where=self.where,
                todo="add an array named labels with one class index a sample",
            )
        return self.labels


def read_samples(path: Path) -> Samples:
    """Read an .npz file with an array `images` and perhaps one `labels`.

    Raises:
        DataError: No such file, no .npz, no `images`, empty, values that are not finite, or
            labels that do not match.
    """
    where = str(path)
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
            found = {name: archive[name] for name in ("images", "labels") if name in archive}
        digest = file_digest(path)
    except OSError as error:
        raise DataError(f"cannot read ({error.strerror or 'damaged'})", where=where) from error
    except (ValueError, AttributeError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError("is no .npz file of plain arrays", where=where) from error
    if "images" not in found:
        raise DataError("has no array named images", where=where)
    images = found["images"]
    if images.ndim < 2 or len(images) == 0:
        raise DataError("holds no samples", where=where)
    if images.dtype.kind not in "uif" or not np.isfinite(images).all():
        raise DataError("holds values that are no finite numbers", where=where)
    labels = _labels(found.get("labels"), len(images), where)
    return Samples(where=where, images=images, labels=labels, sha256=digest)


def fingerprints(images: Tensor) -> list[bytes]:
    """Return one short digest a sample; equal samples have equal ones."""
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]


def check_held_out(evaluation: Samples, calibration: Samples) -> None:
    """Refuse an evaluation on samples that the variant was calibrated on.

    Up to one in twenty may be in both: real collections repeat some samples.

    Raises:
        DataError: More than that are in both.
    """
    seen = set(fingerprints(calibration.images))
    shared = sum(print_ in seen for print_ in fingerprints(evaluation.images))
    if shared * 20 > len(evaluation):
        raise DataError(
            f"{shared} of {len(evaluation)} samples are also in {calibration.where}",
            where=evaluation.where,
            todo="evaluate on samples that were held out",
        )


def _labels(labels: Tensor | None, count: int, where: str) -> Tensor | None:
    if labels is None or labels.size == 0:
        return None
    if labels.shape != (count,) or labels.dtype.kind not in "ui" or int(labels.min()) < 0:
        raise DataError(
            f"labels are {labels.dtype.name} of shape {list(labels.shape)}, not one class index "
            f"(0, 1, ...) for each of {count} samples",
            where=where,
        )
    return labels.astype(np.int64)
