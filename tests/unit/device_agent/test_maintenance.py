"""Rules of maintenance windows and of the bandwidth limit."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from device_agent.download import pause_s
from device_agent.maintenance import may_begin, parse_span
from edgekit.errors import UsageError


@pytest.mark.parametrize(
    ("at", "spans", "may"),
    [
        pytest.param("12:00", (), True, id="no window"),
        pytest.param("12:00", ("11:00-13:00",), True, id="inside"),
        pytest.param("13:00", ("11:00-13:00",), False, id="the end is outside"),
        pytest.param("23:30", ("22:00-04:30",), True, id="before midnight"),
        pytest.param("04:29", ("22:00-04:30",), True, id="after midnight"),
        pytest.param("12:00", ("22:00-04:30",), False, id="by day"),
        pytest.param("12:00", ("01:00-02:00", "11:59-12:01"), True, id="second of two"),
    ],
)
def test_a_new_release_may_begin_inside_a_window(
    at: str, spans: tuple[str, ...], may: bool
) -> None:
    hour, minute = map(int, at.split(":"))
    assert may_begin(datetime(2026, 11, 21, hour, minute, tzinfo=UTC), spans) is may


@pytest.mark.parametrize("text", ["", "22-04", "25:00-01:00", "01:00-02:60", "1:00-2:00"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no time span"):
        parse_span(text)


@pytest.mark.parametrize(
    ("came", "elapsed_s", "limit", "wait_s"),
    [
        pytest.param(10_000, 1.0, 0.0, 0.0, id="no limit"),
        pytest.param(10_000, 1.0, 5.0, 1.0, id="twice too fast"),
        pytest.param(10_000, 3.0, 5.0, 0.0, id="slow enough"),
    ],
)
def test_a_download_waits_for_its_mean_speed(
    came: int, elapsed_s: float, limit: float, wait_s: float
) -> None:
    assert pause_s(came, elapsed_s, limit_kb_s=limit) == wait_s
