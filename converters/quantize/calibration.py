"""Samples that ranges of activations are taken from: guarded, and prepared one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from converters.samples import Samples, fingerprint
from edgekit.errors import DataError
from edgekit.manifest import Preprocessing
from edgekit.runtime.base import Tensor

MIN_SAMPLES = 32
HOLD_OUT = 10
"""Every tenth sample is held out, to see whether it exceeds the ranges of the others."""
_LONG = 8
_ENOUGH = 1 << 14
_TODO = f"give at least {MIN_SAMPLES} different real samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Samples fit for calibration: a `Guard` accepted them.

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
        return self._prepared(range(len(self.samples)))

    def held_out_last(self) -> tuple[int, Iterator[list[Tensor]]]:
        """Return how many samples are not held out, and all inputs, those that are at the end."""
        numbers = range(1, len(self.samples) + 1)
        kept = [number - 1 for number in numbers if number % HOLD_OUT]
        held_out = [number - 1 for number in numbers if number % HOLD_OUT == 0]
        return len(kept), self._prepared([*kept, *held_out])

    def _prepared(self, indices: Sequence[int]) -> Iterator[list[Tensor]]:
        for done, index in enumerate(indices, start=1):
            yield self.samples.tensors(index, self.preprocessing)
            self.advance(done, len(indices))


def calibrate_on(
    samples: Samples, preprocessing: Preprocessing | None, advance: Callable[[int, int], None]
) -> Calibration:
    """Accept samples for calibration.

    Raises:
        DataError: Fewer than 32 samples, or too few left without constant and repeated ones, or
            more than half of them constant or repeated.
    """
    guard = Guard(samples.where)
    for index in range(len(samples)):
        guard.see(samples.images[index])
    guard.decide()
    return Calibration(samples=samples, preprocessing=preprocessing, advance=advance)


class Guard:
    """Sees samples one after the other and says whether ranges can be taken from them."""

    def __init__(self, where: str) -> None:
        """Begin with none.

        Args:
            where: Where they come from, for messages.
        """
        self._where = where
        self._total = self._constant = self._random = 0
        self._seen: set[bytes] = set()

    def see(self, sample: Tensor) -> bytes:
        """Take a sample into account; return its fingerprint."""
        self._total += 1
        self._constant += bool(np.min(sample) == np.max(sample))
        self._random += looks_random(sample)
        print_ = fingerprint(sample)
        self._seen.add(print_)
        return print_

    def decide(self) -> None:
        """Accept what was seen.

        Raises:
            DataError: Fewer than 32 samples, or too few left without constant, random and repeated
                ones, or more than half of them so.
        """
        total = self._total
        if total < MIN_SAMPLES:
            raise DataError(f"holds only {total} samples", where=self._where, todo=_TODO)
        self._check(self._constant, "constant (every value the same)")
        self._check(self._random, "random numbers (neighbouring values are unrelated)")
        self._check(total - len(self._seen), "repetitions of others")

    def _check(self, useless: int, what: str) -> None:
        if useless * 2 > self._total or self._total - useless < MIN_SAMPLES:
            raise DataError(
                f"{useless} of {self._total} samples are {what}", where=self._where, todo=_TODO
            )


def looks_random(sample: Tensor) -> bool:
    """Say whether a sample is noise: neighbours along no axis have anything to do with each other.

    Real images, spectrograms and signals have neighbours that resemble each other. For independent
    values the correlation of n pairs has a standard deviation of 1/sqrt(n); five of them are
    allowed, and 0.1 at most. Of a large sample only the middle is looked at. Samples below 256
    values, of whole numbers beyond bytes (words, classes) or of one value are never called noise.

    Source: Bartlett 1946, for white noise.
    """
    if sample.size < 256 or (sample.dtype.kind in "ui" and sample.dtype.itemsize > 1):
        return False
    values = _middle(sample).astype(np.float64)
    axes = [axis for axis in range(values.ndim) if values.shape[axis] >= _LONG]
    related = [_neighbours(values, axis) for axis in axes]
    bound = min(0.1, 5 / float(np.sqrt(values.size)))
    return bool(related) and max(related) < bound


def _middle(sample: Tensor) -> Tensor:
    """Return the middle of a sample: some ten thousand values say enough."""
    long = sum(size >= _LONG for size in sample.shape)
    side = round(_ENOUGH ** (1 / max(1, long)))
    starts = [max(0, (size - side) // 2) for size in sample.shape]
    return sample[tuple(slice(start, start + side) for start in starts)]


def _neighbours(values: Tensor, axis: int) -> float:
    """Return the correlation of neighbours along an axis; 1 where nothing varies."""
    here = np.delete(values, -1, axis).ravel()
    there = np.delete(values, 0, axis).ravel()
    spread = float(here.std() * there.std())
    if spread == 0.0:
        return 1.0
    return float(np.mean((here - here.mean()) * (there - there.mean())) / spread)
