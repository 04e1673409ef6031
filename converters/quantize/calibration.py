"""Samples that ranges of activations are taken from: guarded, and prepared one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from converters.samples import Samples, fingerprint
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

    def tensors(self) -> Iterator[list[Tensor]]:
        """Yield the model's inputs for one sample after the other, in order, batch 1."""
        total = len(self.samples)
        for index in range(total):
            yield self.samples.tensors(index, self.preprocessing)
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
    constant, random, seen = 0, 0, set()
    for index in range(total):
        image = samples.images[index]
        constant += bool(np.min(image) == np.max(image))
        random += looks_random(image)
        seen.add(fingerprint(image))
    _check_rest(total, constant, "constant (every value the same)", samples.where)
    _check_rest(total, random, "random numbers (neighbouring values are unrelated)", samples.where)
    repeated = total - len(seen)
    _check_rest(total, repeated, "repetitions of others", samples.where)
    return Calibration(samples=samples, preprocessing=preprocessing, advance=advance)


def looks_random(sample: Tensor) -> bool:
    """Say whether a sample is noise: neighbours along no axis have anything to do with each other.

    Real images, spectrograms and signals have neighbours that resemble each other. For independent
    values the correlation of n pairs has a standard deviation of 1/sqrt(n); five of them are
    allowed, and 0.1 at most. Samples below 256 values, of whole numbers beyond bytes (words,
    classes) or of one value are never called noise.

    Source: Bartlett 1946, for white noise.
    """
    if sample.size < 256 or (sample.dtype.kind in "ui" and sample.dtype.itemsize > 1):
        return False
    values = sample.astype(np.float64)
    axes = [axis for axis in range(values.ndim) if values.shape[axis] >= 8]
    related = [_neighbours(values, axis) for axis in axes]
    bound = min(0.1, 5 / float(np.sqrt(sample.size)))
    return bool(related) and max(related) < bound


def _neighbours(values: Tensor, axis: int) -> float:
    """Return the correlation of neighbours along an axis; 1 where nothing varies."""
    here = np.delete(values, -1, axis).ravel()
    there = np.delete(values, 0, axis).ravel()
    spread = float(here.std() * there.std())
    if spread == 0.0:
        return 1.0
    return float(np.mean((here - here.mean()) * (there - there.mean())) / spread)


def _check_rest(total: int, useless: int, what: str, where: str) -> None:
    if useless * 2 > total or total - useless < MIN_SAMPLES:
        raise DataError(f"{useless} of {total} samples are {what}", where=where, todo=_TODO)
