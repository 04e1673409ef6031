"""Byte ranges."""

from __future__ import annotations

import pytest

from fleet_server.api.ranges import Span, UnsatisfiableError, parse_range


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", Span(start=0, end=0)),
        ("bytes=2-5", Span(start=2, end=5)),
        ("bytes=2-", Span(start=2, end=9)),
        ("bytes=2-99", Span(start=2, end=9)),
        ("bytes=-3", Span(start=7, end=9)),
        ("bytes=-99", Span(start=0, end=9)),
        ("bytes=0-1,3-4", None),
    ],
)
def test_a_range_of_ten_bytes(header: str, span: Span | None) -> None:
    assert parse_range(header, 10) == span


@pytest.mark.parametrize(
    "header",
    ["bytes=10-", "bytes=5-2", "bytes=-0", "bytes=-", "bytes=a-b", "lines=1-2", "", "bytes=+1-2"],
)
def test_what_is_not_there_cannot_be_had(header: str) -> None:
    with pytest.raises(UnsatisfiableError):
        parse_range(header, 10)


def test_an_empty_file_has_no_range() -> None:
    with pytest.raises(UnsatisfiableError):
        parse_range("bytes=0-", 0)
