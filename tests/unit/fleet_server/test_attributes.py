"""Attributes that devices report: merge, replace, remove."""

from __future__ import annotations

import pytest

from edgekit.errors import UsageError
from fleet_server.services.attributes import MAX_ATTRIBUTES, Mode, merge

OLD = {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("mode", "new", "after"),
    [
        (Mode.MERGE, {"b": "3", "c": "4"}, {"a": "1", "b": "3", "c": "4"}),
        (Mode.MERGE, {"a": None}, {"b": "2"}),
        (Mode.REPLACE, {"c": "4", "d": None}, {"c": "4"}),
        (Mode.REMOVE, {"a": "whatever", "x": None}, {"b": "2"}),
    ],
)
def test_modes(mode: Mode, new: dict[str, str | None], after: dict[str, str]) -> None:
    assert merge(OLD, new, mode) == after


@pytest.mark.parametrize(
    "new",
    [
        {"": "v"},
        {"k" * 129: "v"},
        {"k": "v" * 129},
        {"k": "ü"},
        {f"k{n}": "v" for n in range(MAX_ATTRIBUTES + 1)},
        {f"k{n}": "v" for n in range(MAX_ATTRIBUTES - 1)},
    ],
    ids=["no key", "long key", "long value", "other letters", "too many", "too many together"],
)
def test_what_the_protocol_does_not_allow_is_refused(new: dict[str, str | None]) -> None:
    with pytest.raises(UsageError):
        merge(OLD, new, Mode.MERGE)
