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

_LOOKED_AT = 8
_TOO_SMALL, _TOO_LARGE = 32, 200


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


def check_values(samples: Samples, preprocessing: Preprocessing | None) -> None:
    """Refuse samples whose values are not of the size that the preprocessing is written for.

    Eight samples are looked at. Too small: all their values within a thirty-second of what makes
    one unit of the model's input (0 to 1 where 0 to 255 is divided by 255). Too large: two hundred
    units, where a mean or a deviation is declared (0 to 255 where those of 0 to 1 are).

    Raises:
        DataError: They are not; the message names what comes out.
    """
    if preprocessing is None or preprocessing.audio is not None:
        return
    looked_at = np.linspace(0, len(samples) - 1, min(len(samples), _LOOKED_AT)).astype(int)
    images = [samples.images[int(index)] for index in looked_at]
    low, high = min(float(i.min()) for i in images), max(float(i.max()) for i in images)
    scale, mean, std = abs(preprocessing.scale), preprocessing.mean, preprocessing.std
    declared = any(mean) or set(std) != {1.0}
    units = (high - low) * scale / max(std), (high - low) * scale / min(std)
    if units[0] * _TOO_SMALL < 1 or (declared and units[1] > _TOO_LARGE):
        raise DataError(
            f"holds values from {low:g} to {high:g}, and the preprocessing makes a range of "
            f"{units[0]:.3g} of that",
            where=samples.where,
            todo=f"its scale is {scale:.4g}: 1/255 suits 0 to 255, 1 suits 0 to 1",
        )


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
