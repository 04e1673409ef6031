"""Samples that ranges of activations are taken from: guarded, and prepared one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from converters.samples import Samples, fingerprints
from edgekit.errors import DataError
from edgekit.manifest import Preprocessing
from edgekit.runtime.base import Tensor

MIN_SAMPLES = 32
_TODO = f"give at least {MIN_SAMPLES} different real samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Samples fit for calibration; only `calibrate_on` makes one.

    Attributes:
        samples: Raw samples.
        preprocessing: From a raw sample to the model's input.
        advance: Told after each sample how many are done, and of how many.
    """

    samples: Samples
    preprocessing: Preprocessing | None
    advance: Callable[[int, int], None]

    def tensors(self) -> Iterator[Tensor]:
        """Yield the model's input for one sample after the other, batch 1."""
        total = len(self.samples)
        for index in range(total):
            yield self.samples.tensor(index, self.preprocessing)
            self.advance(index + 1, total)


def calibrate_on(
    samples: Samples, preprocessing: Preprocessing | None, advance: Callable[[int, int], None]
) -> Calibration:
    """Accept samples for calibration.

    Raises:
        DataError: Fewer than 32 samples, or too few left without constant and repeated ones, or
            more than half of them constant or repeated.
    """
    total = len(samples)
    if total < MIN_SAMPLES:
        raise DataError(f"holds only {total} samples", where=samples.where, todo=_TODO)
    flat = samples.images.reshape(total, -1)
    constant = int(np.sum(flat.min(axis=1) == flat.max(axis=1)))
    _check_rest(total, constant, "constant (every value the same)", samples.where)
    repeated = total - len(set(fingerprints(samples.images)))
    _check_rest(total, repeated, "repetitions of others", samples.where)
    return Calibration(samples=samples, preprocessing=preprocessing, advance=advance)


def _check_rest(total: int, useless: int, what: str, where: str) -> None:
    if useless * 2 > total or total - useless < MIN_SAMPLES:
        raise DataError(f"{useless} of {total} samples are {what}", where=where, todo=_TODO)
