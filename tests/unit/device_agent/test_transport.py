"""How long to wait after a failure."""

from __future__ import annotations

import random

import pytest

from device_agent.transport import (
    BACKOFF_CAP_S,
    RETRY_AFTER_CAP_S,
    Transport,
    backoff_s,
    retry_after_s,
)
from edgekit.errors import RefusedError


@pytest.mark.parametrize("failures", [1, 2, 5, 9, 1000])
def test_back_off_doubles_up_to_a_cap_and_half_of_it_is_random(failures: int) -> None:
    rng = random.Random(1)
    bound = min(BACKOFF_CAP_S, 2.0 ** min(failures - 1, 30))
    waits = [backoff_s(failures, rng) for _ in range(200)]
    assert all(bound / 2 <= w <= bound for w in waits)
    assert max(waits) - min(waits) > bound / 4


def test_back_off_is_never_shorter_than_the_server_asked_for() -> None:
    rng = random.Random(1)
    waits = [backoff_s(1, rng, at_least_s=120) for _ in range(50)]
    assert all(120 <= w <= 132 for w in waits)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        (None, 0.0),
        ("soon", 0.0),
        ("-3", 0.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0.0),
        ("99999999", RETRY_AFTER_CAP_S),
    ],
)
def test_retry_after_is_seconds_or_nothing(value: str | None, seconds: float) -> None:
    assert retry_after_s(value) == seconds


NOON = "Sat, 21 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("Sat, 21 Nov 2026 12:01:30 GMT", NOON, 90.0),
        ("Sat, 21 Nov 2026 11:59:00 GMT", NOON, 0.0),
        ("Sun, 22 Nov 2026 12:00:00 GMT", NOON, RETRY_AFTER_CAP_S),
        ("Sat, 21 Nov 2026 12:01:30 GMT", "yesterday", 0.0),
        ("Sat, 21 Nov 2026 12:01:30 GMT", "Sat, 21 Nov 2026 12:00:00 -0000", 0.0),
    ],
)
def test_a_date_to_come_back_is_read_by_the_servers_clock(
    value: str, date: str, seconds: float
) -> None:
    assert retry_after_s(value, date=date) == seconds


def test_the_token_goes_to_no_other_server() -> None:
    transport = Transport("http://fleet.example:80", {"Authorization": "TargetToken x"})
    with pytest.raises(RefusedError, match=r"elsewhere\.example"):
        transport.request("GET", "http://elsewhere.example/poll")
