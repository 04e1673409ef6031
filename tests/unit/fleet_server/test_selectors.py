"""Selectors: what they match, and when two of them can meet."""

from __future__ import annotations

import pytest

from edgekit.errors import UsageError
from fleet_server.services.selectors import intersect, matches, parse_selector


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        (None, {}),
        ("", {}),
        ("site=a", {"site": "a"}),
        (" site = a , tier=b,", {"site": "a", "tier": "b"}),
        ({"site": "a"}, {"site": "a"}),
        ("site=", {"site": ""}),
    ],
)
def test_a_selector_is_text_or_pairs(text: object, pairs: dict[str, str]) -> None:
    assert parse_selector(text) == pairs


@pytest.mark.parametrize("text", ["site", "a b=c", "=x", "k=v w", 7, ["a=b"], {"a": 1}, "k=é"])
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(UsageError):
        parse_selector(text)


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        ({}, {}, True),
        ({}, {"a": "1"}, True),
        ({"a": "1"}, {"a": "1", "b": "2"}, True),
        ({"a": "1"}, {"a": "2"}, False),
        ({"a": "1", "b": "2"}, {"a": "1"}, False),
    ],
)
def test_all_pairs_must_be_there(
    selector: dict[str, str], labels: dict[str, str], selected: bool
) -> None:
    assert matches(selector, labels) is selected


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ({}, {}, True),
        ({"a": "1"}, {}, True),
        ({"a": "1"}, {"b": "1"}, True),
        ({"a": "1"}, {"a": "2"}, False),
        ({"a": "1", "b": "1"}, {"a": "1", "b": "2"}, False),
    ],
)
def test_two_selectors_meet_unless_a_label_differs(
    one: dict[str, str], other: dict[str, str], meet: bool
) -> None:
    assert intersect(one, other) is meet
    assert intersect(other, one) is meet
