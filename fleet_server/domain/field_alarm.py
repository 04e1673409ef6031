"""A release's benchmark as an alarm in the field: does a device still do what was measured on it?

Pure. The p90 of a device's windows is compared with the interval of the benchmark's p90.
"""

from __future__ import annotations

from dataclasses import dataclass

HISTOGRAM_ERROR = 0.044
"""Width of a bin of the telemetry's histogram, as a share."""
MIN_INFERENCES = 64
"""Below so many no 90th percentile can be bounded (MLPerf Inference rules, early stopping)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The p90 of a benchmark with its 95 % interval, milliseconds."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldAlarm:
    """Telemetry left the benchmark's interval.

    Attributes:
        p90_ms: In the field.
        low_ms: Lowest value that would have been fine.
        high_ms: Highest value that would have been fine.
    """

    p90_ms: float
    low_ms: float
    high_ms: float


def field_alarm(
    expected: Expected, *, p90_ms: float, inferences: int, margin: float
) -> FieldAlarm | None:
    """Return an alarm if the field's p90 lies outside of what was measured.

    Args:
        expected: From the benchmark.
        p90_ms: Of the device's windows.
        inferences: That it comes from; too few are no alarm.
        margin: What the field may add or save beyond the interval, as a share.
    """
    if inferences < MIN_INFERENCES:
        return None
    room = (1.0 + margin) * (1.0 + HISTOGRAM_ERROR)
    low, high = expected.low / room, expected.high * room
    if low <= p90_ms <= high:
        return None
    return FieldAlarm(p90_ms=p90_ms, low_ms=low, high_ms=high)
