from __future__ import annotations

import itertools

import pytest

from edgekit.verdict import Verdict, worst


def test_no_verdict_at_all_is_inconclusive():
    assert worst([]) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("pair", list(itertools.product(Verdict, Verdict)), ids=str)
def test_the_worse_of_two_wins_in_any_order(pair):
    order = [Verdict.PASS, Verdict.PENDING, Verdict.INCONCLUSIVE, Verdict.FAIL]
    expected = max(pair, key=order.index)
    assert worst(pair) is expected
    assert worst(reversed(pair)) is expected


def test_stored_words_stay():
    assert [v.value for v in Verdict] == ["pass", "pending", "inconclusive", "fail"]
