"""Selectors: what they match, and when two of them can meet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.errors import UsageError
from fleet_server.domain.selector import EVERYTHING, intersect, parse_selector

OSAKA = {"site": "osaka", "tier": "a"}


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (None, ""),
        ("", ""),
        (" site = a , tier==b,", "site=a,tier=b"),
        ({"site": "a"}, "site=a"),
        ("site=", "site="),
        ("tier in (b, a),!legacy", "tier in (a,b),!legacy"),
        ("tier notin (a,b), legacy ,x!=1", "tier notin (a,b),legacy,x!=1"),
        ("tier in (a)", "tier=a"),
    ],
)
def test_a_selector_is_read_and_written(text: object, canonical: str) -> None:
    selector = parse_selector(text)
    assert str(selector) == canonical
    assert parse_selector(canonical) == selector


@pytest.mark.parametrize(
    "text",
    [
        *("a b=c", "=x", "k=v w", 7, ["a=b"], {"a": 1}, "k=é", "k in a", "k in (a", "k in ((a))"),
        *("!", "k in (a b)", "(a)", "k=a,k=b", "k,!k", "k in (a),k notin (a)"),
    ],
)
def test_anything_else_and_what_nothing_matches_is_refused(text: object) -> None:
    with pytest.raises(UsageError):
        parse_selector(text)


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("", True),
        ("site=osaka", True),
        ("site=osaka,tier in (a,b),!legacy", True),
        ("site=kobe", False),
        ("site!=kobe", True),
        ("legacy!=yes", True),
        ("legacy notin (yes)", True),
        ("tier notin (a,b)", False),
        ("legacy", False),
        ("site", True),
        ("!site", False),
    ],
)
def test_all_requirements_must_hold(text: str, selected: bool) -> None:
    assert parse_selector(text).matches(OSAKA) is selected


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("", "", True),
        ("a=1", "", True),
        ("a=1", "b=1", True),
        ("a=1", "a=2", False),
        ("a=1,b=1", "a=1,b=2", False),
        ("a in (1,2)", "a in (2,3)", True),
        ("a in (1,2)", "a in (3)", False),
        ("a in (1,2)", "a notin (1,2)", False),
        ("a in (1,2)", "a!=1", True),
        ("a", "!a", False),
        ("!a", "a!=1", True),
        ("a=1", "!a", False),
    ],
)
def test_two_selectors_meet_if_some_labels_meet_both(one: str, other: str, meet: bool) -> None:
    assert intersect(parse_selector(one), parse_selector(other)) is meet
    assert intersect(parse_selector(other), parse_selector(one)) is meet


_TERMS = st.sampled_from(["a=1", "a!=1", "a in (1,2)", "a notin (2,3)", "a", "!a", "b=1", "!b"])


def _read(terms: list[str]) -> object:
    try:
        return parse_selector(",".join(terms))
    except UsageError:
        return EVERYTHING


@given(
    st.lists(_TERMS, max_size=3).map(_read),
    st.lists(_TERMS, max_size=3).map(_read),
    st.dictionaries(st.sampled_from("ab"), st.sampled_from("123")),
)
def test_what_matches_both_is_never_called_apart(one, other, labels) -> None:
    if one.matches(labels) and other.matches(labels):
        assert intersect(one, other)
