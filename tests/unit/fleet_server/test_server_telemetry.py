"""Windows: aligned to the server's clock, and sound or refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from edgekit.protocol import TelemetryBatch
from edgekit.telemetry import LogHistogram, Window
from fleet_server.services.soundness import is_sound
from fleet_server.services.telemetry import aligned_end

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
WINDOW = Window(
    seq=1,
    model="m",
    digest="d" * 64,
    boot_id="boot",
    ended_mono_s=100.0,
    duration_s=60.0,
    inferences=3,
    latency_ms=LogHistogram.of([1.0, 2.0, 4.0]),
    drift={"brightness": (1, 0, 2)},
    machine={"temperature_c": -12.5},
)
BATCH = TelemetryBatch(spool_id="s", boot_id="boot", sent_mono_s=130.0, windows=(WINDOW,))


def test_a_window_ended_as_long_ago_as_the_device_says() -> None:
    assert aligned_end(WINDOW, BATCH, received_at=NOW) == NOW - timedelta(seconds=30)


@pytest.mark.parametrize(
    ("window", "batch"),
    [
        (replace(WINDOW, boot_id="before"), BATCH),
        (replace(WINDOW, ended_mono_s=131.0), BATCH),
        (replace(WINDOW, ended_mono_s=-1e12), BATCH),
    ],
    ids=["another boot", "in the future", "before there were devices"],
)
def test_a_time_that_nobody_can_know_is_none(window: Window, batch: TelemetryBatch) -> None:
    assert aligned_end(window, batch, received_at=NOW) is None


def test_a_usual_window_is_sound() -> None:
    assert is_sound(WINDOW)


@pytest.mark.parametrize(
    "change",
    [
        {"seq": 0},
        {"seq": 1 << 64},
        {"inferences": -1},
        {"inferences": 1 << 62},
        {"errors": {"infer": -1}},
        {"errors": {str(number): 1 for number in range(17)}},
        {"errors": {"e" * 129: 1}},
        {"classes": {str(number): 1 for number in range(66)}},
        {"classes": {"cat": -1}},
        {"classes": {"c" * 1025: 1}},
        {"confidence": (0,) * 21},
        {"confidence": (-1,)},
        {"boot_id": "b" * 129},
        {"nan_outputs": -1},
        {"duration_s": -1.0},
        {"rss_mb": float("inf")},
        {"ended_mono_s": float("nan")},
        {"model": ""},
        {"model": "m" * 200},
        {"digest": "short"},
        {"state": "s" * 17},
        {"drift": {"brightness": (1, -1)}},
        {"drift": {"brightness": (0,) * 129}},
        {"drift": {str(number): (1,) for number in range(33)}},
        {"machine": {"temperature_c": float("inf")}},
        {"machine": {"m" * 129: 1.0}},
        {"machine": {str(number): 1.0 for number in range(17)}},
        {"latency_ms": LogHistogram(count=-1)},
        {"latency_ms": LogHistogram(sum_log=float("nan"))},
        {"latency_ms": LogHistogram(count=1, bins={"x": 1})},
        {"latency_ms": LogHistogram(count=1, bins={"03": 1})},
        {"latency_ms": LogHistogram(count=1, bins={"-0": 1})},
        {"latency_ms": LogHistogram(count=1, bins={"\u0663": 1})},
        {"latency_ms": LogHistogram(count=1, bins={"9" * 5000: 1})},
        {"latency_ms": LogHistogram(count=1, bins={"1025": 1})},
        {"latency_ms": LogHistogram(count=1, bins={"3": -1})},
        {"latency_ms": LogHistogram(sum_log_squared=float("inf"))},
    ],
    ids=str,
)
def test_a_window_that_cannot_be_added_up_is_not_sound(change: dict[str, object]) -> None:
    assert not is_sound(replace(WINDOW, **change))  # type: ignore[arg-type]
