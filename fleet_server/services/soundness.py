"""Which windows can be stored and added up: a device may send anything. Pure."""

from __future__ import annotations

import math

from edgekit.telemetry import (
    CONFIDENCE_BINS,
    MAX_ANSWERS,
    MAX_CLASS_NAME,
    MAX_COUNT,
    MAX_DRIFT_BINS,
    MAX_DRIFT_STATISTICS,
    MAX_ERROR_KINDS,
    MAX_MACHINE_NUMBERS,
    MAX_NAME,
    TOP_CLASSES,
    Window,
)

_MAX_SEQ = (1 << 63) - 1


def is_sound(window: Window) -> bool:
    """Say whether names are short, tables small, counts possible and numbers finite."""
    return (
        window.latency_ms.is_sound
        and _is_named(window)
        and _is_small(window)
        and _is_countable(window)
        and _is_measured(window)
    )


def _is_named(window: Window) -> bool:
    names = (*window.errors, *window.drift, *window.machine)
    answers = (word for pair in window.answers.items() for word in pair)
    return (
        1 <= window.seq <= _MAX_SEQ
        and 0 < len(window.model) <= MAX_NAME
        and len(window.digest) == 64
        and len(window.boot_id) <= MAX_NAME
        and len(window.state) <= 16
        and all(len(name) <= MAX_NAME for name in names)
        and all(len(name) <= MAX_CLASS_NAME for name in window.classes)
        and all(0 < len(word) <= MAX_NAME for word in answers)
    )


def _is_small(window: Window) -> bool:
    return (
        len(window.errors) <= MAX_ERROR_KINDS
        and len(window.classes) <= TOP_CLASSES + 1
        and len(window.confidence) <= CONFIDENCE_BINS
        and len(window.drift) <= MAX_DRIFT_STATISTICS
        and all(len(bins) <= MAX_DRIFT_BINS for bins in window.drift.values())
        and len(window.answers) <= MAX_ANSWERS
        and len(window.machine) <= MAX_MACHINE_NUMBERS
    )


def _is_countable(window: Window) -> bool:
    counts = (
        window.inferences,
        window.nan_outputs,
        window.dropped_windows,
        window.exercised,
        *window.errors.values(),
        *window.classes.values(),
        *window.confidence,
        *(count for bins in window.drift.values() for count in bins),
    )
    return 0 <= min(counts) <= max(counts) <= MAX_COUNT


def _is_measured(window: Window) -> bool:
    numbers = (window.ended_mono_s, *window.machine.values())
    return all(0 <= number < math.inf for number in (window.duration_s, window.rss_mb)) and all(
        map(math.isfinite, numbers)
    )
