"""When callers of an overloaded server are told to come again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest

from fleet_server.api.overload import Appointments


@dataclass
class Clock:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


def served(clock: Clock, *, per_s: int) -> Appointments:
    """Return appointments of a server that has too much to do and answers so many a second."""
    appointments = Appointments(clock)
    for _ in range(20):
        for _ in range(2 * per_s):
            appointments.answered()
        clock.now_s += 2.0
        appointments.next_s()
    clock.now_s += 60.0
    return appointments


@pytest.mark.parametrize("per_s", [60, 200, 2000])
def test_a_crowd_is_spread_over_the_time_that_it_takes_to_answer_it(per_s: int) -> None:
    appointments = served(Clock(), per_s=per_s)
    told = Counter(appointments.next_s() for _ in range(10 * per_s))
    assert set(told) <= set(range(1, 12))
    assert all(abs(told[second] - per_s) <= 1 for second in range(2, 10))


def test_who_comes_when_the_crowd_was_answered_waits_a_second() -> None:
    clock = Clock()
    appointments = served(clock, per_s=60)
    for _ in range(600):
        appointments.next_s()
    clock.now_s += 11.0
    assert appointments.next_s() == 1


def test_nobody_is_sent_away_for_more_than_a_minute() -> None:
    appointments = served(Clock(), per_s=0)
    told = [appointments.next_s() for _ in range(10_000)]
    assert max(told) == 60
    assert len(set(told[5000:])) > 20  # not all at once


@pytest.mark.parametrize("passed_s", [0.5, 3600.0], ids=["the first moment", "a quiet hour"])
def test_few_answers_say_nothing_about_how_fast_it_can_go(passed_s: float) -> None:
    clock = Clock()
    appointments = Appointments(clock)
    appointments.answered()
    clock.now_s += passed_s
    assert [appointments.next_s() for _ in range(500)] == [1] * 500
