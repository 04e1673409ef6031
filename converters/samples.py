"""The samples that a conversion is calibrated and proven on, as values.

Files are read in `reading`; whether samples suit calibration is said in `quantize.calibration`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from edgekit.errors import DataError
from edgekit.manifest import Preprocessing
from edgekit.preprocessing import prepare
from edgekit.runtime.base import Tensor


class Images(Protocol):
    """Raw samples by index, perhaps read from disk when asked for."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, index: int, /) -> Tensor:
        """Return one raw sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Raw samples, with their classes and further arrays if known.

    Attributes:
        where: The file or folder, for messages.
        images: [N, ...], as they come before preprocessing: the model's first input.
        labels: [N], int64, class indices from 0; None when there are none.
        sha256: Digest of what was read.
        arrays: Other arrays of N rows by name: further inputs, whole tensors each, and "targets".
        further: Names of the model's inputs after the first, in order.
        prints: Digest of each sample as it came, where `images` holds it made smaller; else None.
    """

    where: str
    images: Images
    labels: Tensor | None
    sha256: str
    arrays: Mapping[str, Images] = field(default_factory=dict)
    further: tuple[str, ...] = ()
    prints: tuple[bytes, ...] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def tensors(self, index: int, preprocessing: Preprocessing | None) -> list[Tensor]:
        """Return one sample as the model's inputs, in order; the first has a batch of 1.

        Raises:
            DataError: It does not suit the preprocessing, or an input has no array; the message
                names file and sample.
        """
        try:
            first = prepare(self.images[index], preprocessing)
        except DataError as error:
            raise DataError(
                error.what, where=f"{self.where} sample {index}", todo=error.todo
            ) from error
        return [first, *(np.asarray(self._array(name)[index]) for name in self.further)]

    def further_rows(self, indices: list[int]) -> list[Tensor]:
        """Return, for each further input, the tensors of some samples, stacked."""
        return [np.stack([np.asarray(self._array(n)[i]) for i in indices]) for n in self.further]

    def labelled(self) -> Tensor:
        """Return the labels.

        Raises:
            DataError: There are none.
        """
        if self.labels is None:
            raise DataError(
                "holds no labels, so no accuracy can be measured on it",
                where=self.where,
                todo="add an array named labels with one class index a sample, or say --metric "
                "agreement (classes) or parity (anything else)",
            )
        return self.labels

    def _array(self, name: str) -> Images:
        if name not in self.arrays:
            raise DataError(
                f"has no array for the input {name}",
                where=self.where,
                todo=f"add an array named {name} with one tensor a sample",
            )
        return self.arrays[name]


def fingerprints(samples: Samples) -> list[bytes]:
    """Return one short digest a sample; equal samples have equal ones."""
    if samples.prints is not None:
        return list(samples.prints)
    return [fingerprint(samples.images[index]) for index in range(len(samples))]


def fingerprint(image: Tensor) -> bytes:
    """Return a short digest of a sample."""
    return hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=16).digest()


def check_held_out(evaluation: Samples, calibration: Samples) -> None:
    """Refuse an evaluation on samples that the variant was calibrated on.

    Up to one in twenty may be in both: real collections repeat some samples.

    Raises:
        DataError: More than that are in both.
    """
    seen = set(fingerprints(calibration))
    shared = sum(print_ in seen for print_ in fingerprints(evaluation))
    if shared * 20 > len(evaluation):
        raise DataError(
            f"{shared} of {len(evaluation)} samples are also in {calibration.where}",
            where=evaluation.where,
            todo="evaluate on samples that were held out",
        )
