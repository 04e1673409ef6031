"""What a worker records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from device_agent.spool import Spool
from device_agent.worker.messages import Mode
from device_agent.worker.recorder import FEATURES_EVERY_S, Recorder
from edgekit.drift import DriftCounts, Features, drifts, reference_of


@dataclass
class Clock:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool.sqlite", max_bytes=1 << 20)
    yield spool
    spool.close()


@pytest.fixture
def recorder(spool: Spool, clock: Clock) -> Recorder:
    return Recorder(
        spool,
        model="digits",
        digest="d",
        boot_id="b",
        window_s=60,
        deadline_ms=5,
        clock=clock,
        rss_mb=lambda: 12.5,
        machine=lambda: {"temperature_c": 61.5},
    )


def test_a_window_sums_up_what_happened_in_it(
    recorder: Recorder, spool: Spool, clock: Clock
) -> None:
    recorder.open(Mode.PROBATION)
    recorder.answered(0.001, label="three", confidence=0.93)
    recorder.answered(0.009, label="three", confidence=0.2)
    recorder.answered(0.004, nan=True)
    recorder.failed("pre")
    recorder.exercised(3)
    clock.now_s += 60
    recorder.tick()
    (window,) = spool.oldest(9)
    assert (window.inferences, window.nan_outputs, window.exercised) == (3, 1, 3)
    assert window.errors == {"pre": 1}
    assert window.latency_ms.count == 3
    assert window.latency_ms.total == pytest.approx(14.0)
    assert window.classes == {"three": 2}
    assert sum(window.confidence) == 2
    assert (window.state, window.rss_mb) == ("probation", 12.5)
    assert window.machine == {"temperature_c": 61.5}
    assert (window.ended_mono_s, window.duration_s) == (160.0, 60.0)


def test_a_window_is_closed_when_its_time_is_over_and_not_before(
    recorder: Recorder, spool: Spool, clock: Clock
) -> None:
    recorder.open(Mode.STEADY)
    recorder.answered(0.001)
    clock.now_s += 59.9
    recorder.tick()
    assert spool.oldest(9) == ()
    clock.now_s += 0.1
    recorder.tick()
    recorder.answered(0.001)
    recorder.close()
    assert [w.inferences for w in spool.oldest(9)] == [1, 1]


def test_an_idle_minute_is_a_window_and_an_idle_moment_is_none(
    recorder: Recorder, spool: Spool, clock: Clock
) -> None:
    recorder.open(Mode.STEADY)
    recorder.close()
    assert spool.oldest(9) == ()
    recorder.open(Mode.STEADY)
    clock.now_s += 60
    recorder.tick()
    assert [w.inferences for w in spool.oldest(9)] == [0]


def test_answers_before_serving_count_for_nobody(recorder: Recorder, spool: Spool) -> None:
    recorder.answered(0.001)
    recorder.open(Mode.STEADY)
    recorder.close()
    assert spool.oldest(9) == ()


def test_counters_go_on_over_windows(recorder: Recorder) -> None:
    for latency_s in (0.001, 0.006, 0.007):
        recorder.open(Mode.STEADY)
        recorder.answered(latency_s)
    recorder.failed("infer")
    stats = recorder.stats()
    assert (stats.inferences, stats.late, stats.errors) == (3, 2, {"infer": 1})


def test_a_window_that_cannot_be_stored_is_said_in_the_next(
    recorder: Recorder, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekit.errors import StorageError

    def full(_: object) -> int:
        raise StorageError("no room")

    recorder.open(Mode.STEADY)
    recorder.answered(0.001)
    with monkeypatch.context() as broken:
        broken.setattr(spool, "append", full)
        recorder.open(Mode.STEADY)
    recorder.answered(0.001)
    recorder.close()
    assert [(w.inferences, w.dropped_windows) for w in spool.oldest(9)] == [(1, 1)]


def feature(value: float) -> Features:
    return Features(numbers={"input.0.mean": value})


def test_a_window_counts_what_inputs_looked_like_into_the_bins_of_the_reference(
    recorder: Recorder, spool: Spool, clock: Clock
) -> None:
    recorder.reference = reference_of([feature(v / 100) for v in range(100)])
    recorder.open(Mode.STEADY)
    for turn in range(120):
        clock.now_s += FEATURES_EVERY_S
        recorder.answered(0.001)
        assert recorder.samples_now(clock.now_s)
        assert not recorder.samples_now(clock.now_s)
        recorder.saw(feature(5.0 if turn % 2 else 0.5))
    recorder.close()
    (window,) = spool.oldest(1)
    assert sum(window.drift["input.0.mean"]) == 120
    assert window.drift["input.0.mean"][-1] == 60
    counted = DriftCounts(samples=window.inferences, numbers=window.drift)
    assert drifts(recorder.reference, counted)[0].drifted


def test_without_a_reference_nothing_is_looked_at(recorder: Recorder, clock: Clock) -> None:
    assert not recorder.samples_now(clock.now_s + 9)
