"""Waits after wrong passwords."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fleet_server.services.password_guesses import FREE_ADDRESS, FREE_HERE, FREE_NAME, Guesses

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def guess(guesses: Guesses, count: int, name: str = "ada", address: str = "a") -> None:
    for _ in range(count):
        guesses.was_wrong(name, address, now=NOW)


def test_a_few_wrong_guesses_cost_nothing() -> None:
    guesses = Guesses()
    guess(guesses, FREE_HERE - 1)
    assert guesses.wait_s("ada", "a", now=NOW) == 0


def test_each_guess_beyond_them_doubles_the_wait_up_to_a_quarter_of_an_hour() -> None:
    guesses = Guesses()
    guess(guesses, FREE_HERE)
    waits = []
    for _ in range(10):
        waits.append(guesses.wait_s("ada", "a", now=NOW))
        guess(guesses, 1)
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]


def test_a_wait_ends() -> None:
    guesses = Guesses()
    guess(guesses, FREE_HERE)
    assert guesses.wait_s("ada", "a", now=NOW + timedelta(seconds=4)) == pytest.approx(1)
    assert guesses.wait_s("ada", "a", now=NOW + timedelta(seconds=5)) == 0
    assert guesses.wait_s("ada", "a", now=NOW + timedelta(hours=2)) == 0


def test_guesses_elsewhere_do_not_soon_lock_a_person_out() -> None:
    guesses = Guesses()
    guess(guesses, FREE_NAME - 1, address="stranger")
    assert guesses.wait_s("ada", "stranger", now=NOW) > 0
    assert guesses.wait_s("ada", "home", now=NOW) == 0
    guess(guesses, 1, address="stranger")
    assert guesses.wait_s("ada", "home", now=NOW) > 0


def test_an_address_that_tries_many_names_waits_for_every_name() -> None:
    guesses = Guesses()
    for number in range(FREE_ADDRESS):
        guesses.was_wrong(f"n{number}", "a", now=NOW)
    assert guesses.wait_s("never tried", "a", now=NOW) > 0
    assert guesses.wait_s("never tried", "b", now=NOW) == 0


def test_the_right_password_forgets_what_was_wrong_here() -> None:
    guesses = Guesses()
    guess(guesses, FREE_HERE)
    guesses.was_right("ada", "a")
    assert guesses.wait_s("ada", "a", now=NOW) == 0
