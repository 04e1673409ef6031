"""Which answers a device records, so that labels that come later can be compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agent.spool import Spool
from device_agent.worker.messages import Mode
from device_agent.worker.recorder import Recorder
from edgekit.telemetry import MAX_ANSWERS


def recorded(folder: Path, share: float, count: int) -> dict[str, str]:
    spool = Spool(folder / "spool.db", max_bytes=1 << 20)
    recorder = Recorder(
        spool,
        model="m",
        digest="d" * 64,
        boot_id="b",
        window_s=60.0,
        deadline_ms=0.0,
        clock=lambda: 0.0,
        rss_mb=lambda: 1.0,
        answers_share=share,
    )
    recorder.open(Mode.STEADY)
    for number in range(count):
        recorder.answered(0.001, label="cat")
        recorder.remember(f"r-{number}", "cat")
    recorder.close()
    (window,) = spool.oldest(1)
    spool.close()
    return window.answers


def test_nothing_is_recorded_unless_the_owner_asks_for_it(tmp_path: Path) -> None:
    assert recorded(tmp_path, 0.0, 50) == {}


def test_a_share_is_drawn_by_the_id_so_that_every_device_records_the_same(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    some = recorded(tmp_path, 0.2, 500)
    assert 60 <= len(some) <= 140
    assert recorded(tmp_path / "other", 0.2, 500) == some


@pytest.mark.parametrize("count", [MAX_ANSWERS, 2 * MAX_ANSWERS])
def test_a_window_holds_so_many_and_no_more(tmp_path: Path, count: int) -> None:
    assert len(recorded(tmp_path, 1.0, count)) == MAX_ANSWERS
