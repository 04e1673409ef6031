"""Byte ranges of a file: RFC 9110, section 14. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

_ONE = re.compile(r"\s*(\d{0,20})-(\d{0,20})\s*")
MAX_RANGES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Bytes `start` to `end`, both included."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.end - self.start + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of an answer: text, then bytes of the file.

    Attributes:
        head: What comes first.
        span: What follows of the file; None for nothing.
    """

    head: bytes = b""
    span: Span | None = None

    @property
    def length(self) -> int:
        """Number of bytes."""
        return len(self.head) + (self.span.length if self.span else 0)


class UnsatisfiableError(ValueError):
    """The range lies outside of the file, or is none; answered with 416."""


def parse_ranges(header: str, size: int) -> tuple[Span, ...] | None:
    """Return what a Range header asks for, in its order; None when the whole file is the answer.

    Many ranges, or ranges that overlap, are answered with the whole file (RFC 9110, section 14.2):
    a short request must not cost more than a download.

    Raises:
        UnsatisfiableError: Malformed, or nothing of it is in the file.
    """
    unit, _, rest = header.partition("=")
    asked = rest.split(",")
    if unit.strip() != "bytes" or not all(_is_range(one) for one in asked):
        raise UnsatisfiableError(header)
    if len(asked) > MAX_RANGES:
        return None
    spans = tuple(span for one in asked if (span := _span(one, size)) is not None)
    if not spans:
        raise UnsatisfiableError(header)
    ordered = sorted(spans, key=lambda span: span.start)
    overlap = any(a.end >= b.start for a, b in pairwise(ordered))
    return None if overlap else spans


def _is_range(text: str) -> bool:
    match = _ONE.fullmatch(text)
    return match is not None and match.groups() != ("", "")


def _span(text: str, size: int) -> Span | None:
    """Return one range; None when nothing of it is in the file."""
    match = _ONE.fullmatch(text)
    assert match is not None  # noqa: S101 (the caller looked)
    first, last = match.groups()
    if first == "":
        start, end = max(0, size - int(last)), size - 1
    else:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
    return None if start > end or start >= size else Span(start=start, end=end)


def parts_of(spans: tuple[Span, ...], size: int, boundary: str) -> list[Part]:
    """Return a multipart/byteranges body (RFC 9110, section 14.6).

    Args:
        spans: The ranges, in the order in which they were asked for.
        size: Of the whole file, bytes.
        boundary: Text that is not in the file.
    """
    parts = []
    for number, span in enumerate(spans):
        before = "\r\n" if number else ""
        head = (
            f"{before}--{boundary}\r\n"
            "Content-Type: application/octet-stream\r\n"
            f"Content-Range: bytes {span.start}-{span.end}/{size}\r\n\r\n"
        )
        parts.append(Part(head=head.encode(), span=span))
    return [*parts, Part(head=f"\r\n--{boundary}--\r\n".encode())]
