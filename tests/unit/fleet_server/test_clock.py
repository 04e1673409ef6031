"""The server's time beside a date that steps, by clocks that the test moves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet_server.services.clock import LONG, SET_SINCE, TOLERANCE, ServerClock, Step

NOON = datetime(2028, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
YEAR = timedelta(days=365)
SETTLE_S = 600.0


@dataclass
class Machine:
    """A machine's date and its steady clock."""

    date: datetime = NOON
    steady_s: float = 1000.0

    def clock(self, seen_at: datetime | None = None) -> ServerClock:
        return ServerClock(
            lambda: self.date, lambda: self.steady_s, seen_at=seen_at, settle_s=SETTLE_S
        )

    def wait(self, seconds: float) -> None:
        self.date += timedelta(seconds=seconds)
        self.steady_s += seconds

    def watch(self, clock: ServerClock, seconds: int) -> list[Step]:
        """Let time pass as the server does: look every second, follow what is due."""
        steps = []
        for _ in range(seconds):
            self.wait(1)
            step = clock.look()
            if step is not None:
                steps.append(step)
                clock.follow()
        return steps


def test_without_a_step_the_time_is_the_date() -> None:
    machine = Machine()
    clock = machine.clock(seen_at=NOON - HOUR)
    assert machine.watch(clock, 100) == []
    assert clock.now() == machine.date


@pytest.mark.parametrize("by", [HOUR, YEAR, -YEAR, 2 * LONG])
def test_a_step_is_followed_after_it_stood_and_not_before(by: timedelta) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.date += by
    assert machine.watch(clock, int(SETTLE_S)) == []
    assert clock.now() == NOON + timedelta(seconds=SETTLE_S)
    assert clock.stands_off
    (step,) = machine.watch(clock, 1)
    assert step.by == by
    assert clock.now() == machine.date
    assert not clock.stands_off


def test_a_date_that_is_set_right_again_in_time_changes_nothing() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.date += YEAR
    assert machine.watch(clock, int(SETTLE_S) - 10) == []
    assert clock.ahead == YEAR
    machine.date -= YEAR
    assert machine.watch(clock, int(SETTLE_S) * 2) == []
    assert abs(clock.now() - machine.date) < timedelta(seconds=1)


def test_a_date_that_goes_on_changing_is_not_followed() -> None:
    machine = Machine()
    clock = machine.clock()
    for _ in range(5):
        machine.date += HOUR
        assert machine.watch(clock, int(SETTLE_S) - 10) == []


@pytest.mark.parametrize("by", [timedelta(seconds=3), HOUR, LONG])
def test_behind_by_up_to_a_day_time_passes_more_slowly_and_never_goes_back(by: timedelta) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.date -= by
    last = clock.now()
    for _ in range(300):
        assert machine.watch(clock, 1) == []
        assert last < clock.now() <= last + timedelta(seconds=1)
        last = clock.now()
    gained = by - (clock.now() - machine.date)
    assert gained > min(by * 0.99, timedelta(seconds=149))


def test_seconds_ahead_are_taken_over_at_once() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.date += TOLERANCE
    assert machine.watch(clock, 1) == []
    assert clock.now() == machine.date


def test_a_board_without_a_battery_goes_on_from_what_was_stored_until_its_date_is_set() -> None:
    machine = Machine(date=datetime(1970, 1, 1, 0, 1, tzinfo=UTC))
    clock = machine.clock(seen_at=NOON)
    assert machine.watch(clock, 2000) == [], "1970 is followed never"
    assert clock.now() == NOON + timedelta(seconds=2000)
    machine.date = NOON + 3 * HOUR
    assert machine.watch(clock, 1) == [], "an outage of three hours"
    assert clock.now() == machine.date


def test_the_first_start_without_a_date_is_after_the_software() -> None:
    machine = Machine(date=datetime(1970, 1, 1, tzinfo=UTC))
    clock = machine.clock()
    assert clock.now() == SET_SINCE
    machine.date = NOON
    assert len(machine.watch(clock, 1)) == 1
    assert clock.now() == machine.date


def test_an_outage_of_hours_is_no_step_and_one_of_weeks_is() -> None:
    machine = Machine()
    assert machine.watch(machine.clock(seen_at=NOON - 20 * HOUR), 1) == []
    clock = machine.clock(seen_at=NOON - timedelta(weeks=3))
    (step,) = machine.watch(clock, 1)
    assert step.by > timedelta(days=20)
    assert clock.now() == machine.date


def test_a_start_with_a_date_far_behind_what_was_stored_waits_before_it_follows() -> None:
    machine = Machine()
    clock = machine.clock(seen_at=NOON + YEAR)
    assert machine.watch(clock, int(SETTLE_S)) == []
    (step,) = machine.watch(clock, 2)
    assert step.by < -LONG
    assert clock.now() == machine.date


@given(
    steps=st.lists(st.tuples(st.integers(-86_000, 10**8), st.integers(1, 900)), max_size=8),
)
def test_whatever_is_set_time_goes_back_only_where_a_step_says_so(
    steps: list[tuple[int, int]],
) -> None:
    machine = Machine()
    clock = machine.clock()
    for by_s, seconds in steps:
        machine.date += timedelta(seconds=by_s)
        for _ in range(0, seconds, 50):
            before = clock.now()
            machine.wait(50)
            step = clock.look()
            assert timedelta(seconds=24) < clock.now() - before <= timedelta(seconds=56)
            if step is not None:
                clock.follow()
                assert clock.now() == machine.date
