"""Byte ranges."""

from __future__ import annotations

import pytest

from fleet_server.api.ranges import MAX_RANGES, Span, UnsatisfiableError, parse_ranges


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", Span(start=0, end=0)),
        ("bytes=2-5", Span(start=2, end=5)),
        ("bytes=2-", Span(start=2, end=9)),
        ("bytes=2-99", Span(start=2, end=9)),
        ("bytes=-3", Span(start=7, end=9)),
        ("bytes=-99", Span(start=0, end=9)),
    ],
)
def test_a_range_of_ten_bytes(header: str, span: Span) -> None:
    assert parse_ranges(header, 10) == (span,)


@pytest.mark.parametrize(
    ("header", "spans"),
    [
        ("bytes=0-1,3-4", [(0, 1), (3, 4)]),
        ("bytes=-2, 0-0", [(8, 9), (0, 0)]),
        ("bytes=0-1,99-", [(0, 1)]),
        ("bytes=0-4,4-5", None),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(MAX_RANGES + 1)), None),
    ],
)
def test_several_ranges(header: str, spans: list[tuple[int, int]] | None) -> None:
    found = parse_ranges(header, 100 if spans is None else 10)
    assert found == (None if spans is None else tuple(Span(start=a, end=b) for a, b in spans))


@pytest.mark.parametrize(
    "header",
    [
        "bytes=10-",
        "bytes=5-2",
        "bytes=-0",
        "bytes=-",
        "bytes=a-b",
        "lines=1-2",
        "",
        "bytes=+1-2",
        "bytes=0-1,",
        "bytes=10-,11-",
    ],
)
def test_what_is_not_there_cannot_be_had(header: str) -> None:
    with pytest.raises(UnsatisfiableError):
        parse_ranges(header, 10)


def test_an_empty_file_has_no_range() -> None:
    with pytest.raises(UnsatisfiableError):
        parse_ranges("bytes=0-", 0)
