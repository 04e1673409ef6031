"""A device's summary of a minute, and the histogram that merges exactly.

Pure: the agent fills windows, the server merges them; neither reads a clock here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

BINS_PER_OCTAVE = 16
CONFIDENCE_BINS = 20
TOP_CLASSES = 64
OTHER_CLASS = "other"
MAX_DRIFT_STATISTICS = 32
MAX_DRIFT_BINS = 128
MAX_ANSWERS = 200
MAX_MACHINE_NUMBERS = 16
MAX_NAME = 128
MAX_CLASS_NAME = 1024
MAX_ERROR_KINDS = 16
MAX_COUNT = (1 << 47) - 1
_INDEXES = frozenset(map(str, range(-64 * BINS_PER_OCTAVE, 64 * BINS_PER_OCTAVE + 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LogHistogram:
    """A sparse histogram with logarithmic bins: relative error 2.2 %, merges exactly.

    Bin `i` holds values in (2**((i-1)/16), 2**(i/16)]; it maps to the exponential histogram of
    OpenTelemetry with scale 4. The sums are exact, so means need no inversion of the bins.

    Attributes:
        count: Number of values.
        total: Sum of the values.
        sum_log: Sum of their natural logarithms.
        sum_log_squared: Sum of the squares of their natural logarithms.
        bins: Bin index (as text, for JSON) to count.
    """

    count: int = 0
    total: float = 0.0
    sum_log: float = 0.0
    sum_log_squared: float = 0.0
    bins: dict[str, int] = field(default_factory=dict)

    @property
    def is_sound(self) -> bool:
        """Whether it can be merged and read: counts, finite sums, bins within 2**-64 to 2**64."""
        counts = (self.count, *self.bins.values())
        return (
            0 <= min(counts) <= max(counts) <= MAX_COUNT
            and all(0 <= number < math.inf for number in (self.total, self.sum_log_squared))
            and math.isfinite(self.sum_log)
            and self.bins.keys() <= _INDEXES
        )

    @classmethod
    def of(cls, values: Iterable[float]) -> LogHistogram:
        """Return the histogram of some values, each > 0."""
        count, total, sum_log, sum_squares = 0, 0.0, 0.0, 0.0
        bins: dict[str, int] = {}
        for value in values:
            log = math.log(value)
            count, total = count + 1, total + value
            sum_log, sum_squares = sum_log + log, sum_squares + log * log
            index = str(math.ceil(math.log2(value) * BINS_PER_OCTAVE))
            bins[index] = bins.get(index, 0) + 1
        return cls(
            count=count, total=total, sum_log=sum_log, sum_log_squared=sum_squares, bins=bins
        )

    def merged(self, other: LogHistogram) -> LogHistogram:
        """Return the histogram of both sets of values; exact and commutative."""
        bins = dict(self.bins)
        for index, count in other.bins.items():
            bins[index] = bins.get(index, 0) + count
        return LogHistogram(
            count=self.count + other.count,
            total=self.total + other.total,
            sum_log=self.sum_log + other.sum_log,
            sum_log_squared=self.sum_log_squared + other.sum_log_squared,
            bins=bins,
        )

    def quantile(self, q: float) -> float:
        """Return the value below which a share `q` in [0, 1] lies; 0.0 of an empty histogram.

        The geometric middle of the bin, so at most 2.2 % off.
        """
        rank, seen = q * self.count, 0
        for index in sorted(map(int, self.bins)):
            seen += self.bins[str(index)]
            if seen >= rank:
                return float(2.0 ** ((index - 0.5) / BINS_PER_OCTAVE))
        return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What one model did on one device during about a minute.

    The key (device, spool_id, seq) makes delivery at least once have its effect exactly once.
    `ended_mono_s` is on the monotonic clock of the boot named by `boot_id`: the server aligns it
    by the batch's `sent_mono_s`, because a device's wall clock is never trusted.

    Attributes:
        seq: Number of the window in its spool, from 1, without gaps.
        model: Name of the model.
        digest: SHA-256 of the bundle that ran.
        boot_id: Boot of the device; monotonic times of other boots do not compare.
        ended_mono_s: When the window closed, seconds of the monotonic clock.
        duration_s: How long it was open.
        inferences: Inferences that gave an answer.
        errors: Inferences that did not, by stage: "pre", "infer", "post", "timeout".
        nan_outputs: Answers that held a NaN.
        dropped_windows: Windows that the spool had to drop before this one.
        exercised: Inferences on golden samples, not counted above.
        latency_ms: Of the inferences that gave an answer.
        confidence: Counts of the highest score in 20 equal bins over [0, 1].
        classes: Counts by class name; the rarer ones under "other".
        rss_mb: Resident memory of the worker at the end.
        state: "steady" or "probation".
        drift: Name of a statistic to counts in the bins of the bundle's reference of it: what
            the inputs and answers of this window looked like. Empty when the bundle brings none.
        answers: Id of a request to the class that was its answer; only where the device's owner
            asked for it, and only a sample.
        machine: State of the machine at the end, as `edgekit.machine.numbers` names it; what the
            system does not say is left out.
    """

    seq: int
    model: str
    digest: str
    boot_id: str
    ended_mono_s: float
    duration_s: float
    inferences: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    nan_outputs: int = 0
    dropped_windows: int = 0
    exercised: int = 0
    latency_ms: LogHistogram = field(default_factory=LogHistogram)
    confidence: tuple[int, ...] = ()
    classes: dict[str, int] = field(default_factory=dict)
    rss_mb: float = 0.0
    state: str = "steady"
    drift: dict[str, tuple[int, ...]] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    machine: dict[str, float] = field(default_factory=dict)


def confidence_bins(scores: Iterable[float]) -> tuple[int, ...]:
    """Count scores into 20 equal bins over [0, 1]; values outside go to the end bins."""
    bins = [0] * CONFIDENCE_BINS
    for score in scores:
        bins[min(CONFIDENCE_BINS - 1, max(0, int(score * CONFIDENCE_BINS)))] += 1
    return tuple(bins)


def top_classes(counts: dict[str, int]) -> dict[str, int]:
    """Keep the 64 most frequent classes, the rest summed under "other"."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kept = dict(ranked[:TOP_CLASSES])
    rest = sum(count for _, count in ranked[TOP_CLASSES:])
    return {**kept, OTHER_CLASS: kept.get(OTHER_CLASS, 0) + rest} if rest else kept
