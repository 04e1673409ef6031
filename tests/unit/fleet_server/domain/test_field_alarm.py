from __future__ import annotations

import pytest

from fleet_server.domain.field_alarm import Expected, field_alarm

MEASURED = Expected(low=9.0, high=11.0)


@pytest.mark.parametrize(
    ("p90_ms", "alarms"),
    [(10.0, False), (11.0 * 1.2, False), (11.0 * 1.35, True), (9.0 / 1.2, False), (5.0, True)],
    ids=["as measured", "within the margin", "slower", "a little faster", "much faster"],
)
def test_a_device_that_leaves_its_own_benchmark_is_an_alarm(p90_ms, alarms):
    found = field_alarm(MEASURED, p90_ms=p90_ms, inferences=1000, margin=0.25)
    assert (found is not None) is alarms


def test_too_few_inferences_are_no_alarm():
    assert field_alarm(MEASURED, p90_ms=99.0, inferences=63, margin=0.25) is None
    assert field_alarm(MEASURED, p90_ms=99.0, inferences=64, margin=0.25) is not None


def test_an_alarm_says_what_would_have_been_fine():
    found = field_alarm(MEASURED, p90_ms=99.0, inferences=64, margin=0.25)
    assert found is not None
    assert found.low_ms < MEASURED.low
    assert MEASURED.high < found.high_ms < found.p90_ms
