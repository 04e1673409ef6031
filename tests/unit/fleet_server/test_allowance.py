"""Token buckets, and wrong tokens of one address."""

from __future__ import annotations

import pytest

from fleet_server.services.allowance import Allowance, WrongTokens


def test_a_burst_is_free_and_then_the_rate_holds() -> None:
    allowance = Allowance(per_s=2.0, burst=10)
    assert [allowance.take("a", 100.0) for _ in range(10)] == [0.0] * 10
    assert allowance.take("a", 100.0) == pytest.approx(0.5)
    assert allowance.take("a", 100.49) > 0
    assert allowance.take("a", 100.5) == 0
    assert allowance.take("a", 100.5) == pytest.approx(0.5)


def test_who_waits_is_not_charged_for_asking() -> None:
    allowance = Allowance(per_s=1.0, burst=1)
    allowance.take("a", 0.0)
    assert all(allowance.take("a", 0.5) == pytest.approx(0.5) for _ in range(100))
    assert allowance.take("a", 1.0) == 0


def test_callers_are_counted_apart() -> None:
    allowance = Allowance(per_s=1.0, burst=1)
    assert [allowance.take(name, 0.0) for name in "abc"] == [0.0, 0.0, 0.0]
    assert allowance.wait_s("a", 0.0) > 0
    assert allowance.wait_s("d", 0.0) == 0


def test_a_long_silence_fills_the_bucket_and_no_more() -> None:
    allowance = Allowance(per_s=1.0, burst=3)
    allowance.take("a", 0.0)
    assert [allowance.take("a", 1e6) > 0 for _ in range(4)] == [False, False, False, True]


def test_a_rate_of_zero_is_no_limit() -> None:
    allowance = Allowance(per_s=0.0, burst=1)
    assert all(allowance.take("a", 0.0) == 0 for _ in range(10_000))


def test_memory_is_bounded_and_those_who_wait_are_remembered_longest() -> None:
    allowance = Allowance(per_s=1.0, burst=1, most_kept=100)
    for number in range(10_000):
        allowance.take(number, number * 2.0)  # each is full again when the next comes
    assert len(allowance._full_at_s) <= 101
    for number in range(10_000):
        allowance.take(("flood", number), 1e6)
    assert len(allowance._full_at_s) <= 101
    assert allowance.take(("flood", 9_999), 1e6) > 0


def test_wrong_tokens_make_an_address_wait_and_are_told_once_a_burst() -> None:
    wrong = WrongTokens(per_s=1.0, burst=3)
    assert [wrong.was_wrong("x", "a", 0.0) for _ in range(5)] == [False, False, True, False, False]
    assert wrong.wait_s("x", "a", 0.0) == pytest.approx(1.0)
    assert wrong.wait_s("x", "b", 0.0) == 0
    assert [wrong.was_wrong("x", "a", 60.0) for _ in range(3)] == [False, False, True]


def test_who_was_let_in_before_does_not_wait_for_a_neighbours_wrong_tokens() -> None:
    wrong = WrongTokens(per_s=1.0, burst=1)
    wrong.was_right("good")
    wrong.was_wrong("bad", "a", 0.0)
    assert wrong.wait_s("good", "a", 0.0) == 0
    assert wrong.wait_s("new", "a", 0.0) > 0
    assert wrong.wait_s("new", "a", 1.0) == 0
    wrong.was_wrong("good", "a", 1.0)  # revoked since
    assert wrong.wait_s("good", "a", 1.0) > 0


def test_those_let_in_before_are_remembered_in_bounded_memory() -> None:
    wrong = WrongTokens(per_s=1.0, burst=1, most_kept=100)
    for number in range(10_000):
        wrong.was_right(number)
        wrong.was_wrong("bad", f"address-{number}", 0.0)
    assert len(wrong._right) <= 101
    assert len(wrong._told) <= 101
    assert wrong.wait_s(9_999, "address-9999", 0.0) == 0
