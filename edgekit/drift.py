"""Says whether what a device sees still resembles what its model was proven on.

A bundle carries `drift.json`: how some plain numbers of a sample (mean and deviation of each input
channel, confidence, class) were distributed over the held-out samples. A device counts the same
numbers into the same bins; the distance of the two is arithmetic. Pure but for `read_reference`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgekit import codec
from edgekit.bundle import Bundle
from edgekit.divergence import chance_psi, js_distance, psi
from edgekit.errors import BundleError, FormatError
from edgekit.manifest import Layout, Preprocessing
from edgekit.postprocessing import classify
from edgekit.runtime.base import Tensor
from edgekit.telemetry import MAX_DRIFT_STATISTICS, OTHER_CLASS, top_classes

REFERENCE = "drift.json"
FORMAT_MAJOR = 1
MATERIAL_PSI = 0.2
"""A stability index below it is not worth a person's time, however certain it is."""
MIN_SAMPLES = 30
"""Fewer samples say nothing."""
CLASS = "class"
CONFIDENCE = "confidence"
_BINS = 10
_MAX_CHANNELS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What is counted of one inference.

    Attributes:
        numbers: Value by name: "input.0.mean.2" is the mean of channel 2 of the first input after
            preprocessing, "input.0.std.2" its deviation; further inputs and outputs that are no
            classes have one mean and deviation each; "confidence" is the best class's, in [0, 1].
        label: The best class; empty where there are none.
    """

    numbers: dict[str, float]
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """A histogram whose outermost bins are open.

    Attributes:
        cuts: Ascending borders of the bins; a value on a border belongs to the bin above it.
        counts: One more than there are cuts.
    """

    cuts: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReference:
    """Distributions over the samples that a variant was proven on.

    Attributes:
        samples: How many there were.
        numbers: Distribution by name of the number.
        classes: Count by class; the rarer ones under "other"; empty where there are none.
        format_version: Version of the file, "major.minor".
    """

    samples: int
    numbers: dict[str, Bins]
    classes: dict[str, int] = field(default_factory=dict)
    format_version: str = "1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftCounts:
    """What a device counted into the bins of its reference; merges exactly.

    Attributes:
        samples: Inferences that were counted; a device may count only some of them.
        numbers: Counts by name of the number, bins as in the reference.
        classes: Count by class of the reference; unknown ones under "other".
    """

    samples: int = 0
    numbers: dict[str, tuple[int, ...]] = field(default_factory=dict)
    classes: dict[str, int] = field(default_factory=dict)

    def merged(self, other: DriftCounts) -> DriftCounts:
        """Return the counts of both; exact and commutative where both have the same bins."""
        numbers = dict(self.numbers)
        for name, counts in other.numbers.items():
            have = numbers.get(name, (0,) * len(counts))
            numbers[name] = tuple(a + b for a, b in zip(have, counts, strict=True))
        return DriftCounts(
            samples=self.samples + other.samples,
            numbers=numbers,
            classes=dict(Counter(self.classes) + Counter(other.classes)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far one number, or the class, moved.

    Attributes:
        name: As in `Features`, or "class".
        samples: That were counted; of a fleet, hours of one device each.
        psi: Population stability index, >= 0; 0 for equal distributions.
        js: Jensen-Shannon distance, in [0, 1].
        chance_psi: What chance alone exceeds once in a thousand with so few samples.
        drifted: Enough samples, more than chance, and material (`MATERIAL_PSI`).
    """

    name: str
    samples: int
    psi: float
    js: float
    chance_psi: float
    drifted: bool


def features_of(
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    preprocessing: Preprocessing | None,
    labels: Sequence[str],
) -> Features:
    """Return what is counted of one inference.

    Args:
        inputs: The model's inputs, after preprocessing.
        outputs: Its answers.
        preprocessing: Says where the channels of the first input are; None knows no channels.
        labels: Class names by index.
    """
    numbers: dict[str, float] = {}
    for index, tensor in enumerate(inputs):
        axis = _channel_axis(tensor, preprocessing) if index == 0 else None
        _measure(numbers, f"input.{index}", tensor, axis)
    best = classify(outputs[0], labels) if outputs else None
    if best is not None:
        numbers[CONFIDENCE] = best.confidence
    for index, tensor in enumerate(outputs[1:] if best else outputs, start=1 if best else 0):
        _measure(numbers, f"output.{index}", tensor, None)
    return Features(numbers=numbers, label=best.label if best else "")


def _channel_axis(tensor: Tensor, preprocessing: Preprocessing | None) -> int | None:
    if preprocessing is None or tensor.ndim != 4:
        return None
    return 1 if preprocessing.layout is Layout.NCHW else 3


def _measure(numbers: dict[str, float], name: str, tensor: Tensor, axis: int | None) -> None:
    channels = 1 if axis is None else min(tensor.shape[axis], _MAX_CHANNELS)
    for channel in range(channels):
        part = tensor if axis is None else tensor.take(channel, axis)
        end = "" if axis is None else f".{channel}"
        numbers[f"{name}.mean{end}"] = float(np.mean(part, dtype=np.float64))
        if part.size > 1:
            numbers[f"{name}.std{end}"] = float(np.std(part, dtype=np.float64))


def reference_of(samples: Sequence[Features]) -> DriftReference:
    """Return the distributions over some samples; at least one, all of the same numbers.

    Each number is cut at its extremes and at its deciles, so that a value outside of everything
    that was seen falls into a bin of its own. Of many numbers the first 32 are kept.
    """
    numbers = {}
    for name in list(samples[0].numbers)[:MAX_DRIFT_STATISTICS]:
        values = sorted(one.numbers[name] for one in samples)
        cuts = _cuts(values)
        numbers[name] = Bins(cuts=cuts, counts=_counted(values, cuts))
    labels = Counter(one.label for one in samples if one.label)
    return DriftReference(samples=len(samples), numbers=numbers, classes=top_classes(dict(labels)))


def _cuts(values: Sequence[float]) -> tuple[float, ...]:
    """Return borders: just outside the extremes, and the deciles between them."""
    low, high = values[0], values[-1]
    margin = max(1e-3 * (high - low), 1e-6 * max(abs(low), abs(high)), 1e-12)
    inner = {values[len(values) * tenth // _BINS] for tenth in range(1, _BINS)}
    between = [cut for cut in sorted(inner) if low < cut < high]
    return low - margin, *between, high + margin


def _counted(values: Iterable[float], cuts: Sequence[float]) -> tuple[int, ...]:
    counts = [0] * (len(cuts) + 1)
    for value in values:
        counts[len(cuts) if math.isnan(value) else bisect_right(cuts, value)] += 1
    return tuple(counts)


def count(reference: DriftReference, samples: Sequence[Features]) -> DriftCounts:
    """Count samples into the bins of a reference; numbers and classes it lacks are left out."""
    labels = (one.label for one in samples if one.label)
    known = Counter(label if label in reference.classes else OTHER_CLASS for label in labels)
    return DriftCounts(
        samples=len(samples),
        numbers={
            name: _counted((s.numbers[name] for s in samples if name in s.numbers), bins.cuts)
            for name, bins in reference.numbers.items()
        },
        classes=dict(known) if reference.classes else {},
    )


def drifts(reference: DriftReference, counts: DriftCounts) -> tuple[Drift, ...]:
    """Return how far each number and the class moved, the farthest first."""
    return moved(reference, counts.numbers, counts.classes)


def moved(
    reference: DriftReference,
    numbers: Mapping[str, Sequence[float]],
    classes: Mapping[str, float],
) -> tuple[Drift, ...]:
    """Return how far each number and the class moved, the farthest first.

    Args:
        reference: What the variant was proven on.
        numbers: What was seen, in the bins of the reference; what does not match is left out.
        classes: The same by class; empty where classes were not counted.
    """
    found = [
        _drift(name, bins.counts, numbers[name])
        for name, bins in reference.numbers.items()
        if len(numbers.get(name, ())) == len(bins.counts)
    ]
    if reference.classes and classes:
        names = sorted({*reference.classes, *classes})
        found.append(
            _drift(
                CLASS,
                [reference.classes.get(name, 0) for name in names],
                [classes.get(name, 0) for name in names],
            )
        )
    return tuple(sorted(found, key=lambda drift: (-drift.psi, drift.name)))


def _drift(name: str, expected: Sequence[int], seen: Sequence[float]) -> Drift:
    samples = round(sum(seen))
    index, chance = psi(expected, seen), chance_psi(sum(expected), samples, len(seen))
    return Drift(
        name=name,
        samples=samples,
        psi=index,
        js=js_distance(expected, seen),
        chance_psi=chance,
        drifted=samples >= MIN_SAMPLES and index > max(MATERIAL_PSI, chance),
    )


def parse_reference(data: bytes, *, where: str) -> DriftReference:
    """Read `drift.json`.

    Raises:
        BundleError: Not JSON, a field of the wrong type, counts that do not match their cuts, or
            an unknown major version.
    """
    try:
        reference = codec.decode(data, DriftReference, where=where)
        codec.check_major(reference.format_version, FORMAT_MAJOR, where=where)
    except FormatError as error:
        raise BundleError(error.what, where=where, todo=error.todo) from error
    for name, bins in reference.numbers.items():
        if len(bins.counts) != len(bins.cuts) + 1 or list(bins.cuts) != sorted(bins.cuts):
            raise BundleError(f"the bins of {name} do not match their cuts", where=where)
    return reference


def read_reference(bundle: Bundle) -> DriftReference | None:
    """Return the reference of a bundle; None where it carries none.

    Raises:
        BundleError: It is damaged.
    """
    if REFERENCE not in bundle.manifest.files:
        return None
    return parse_reference(bundle.read(REFERENCE), where=f"{bundle.path} {REFERENCE}")
