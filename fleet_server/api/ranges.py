"""Byte ranges of a file: RFC 9110, section 14. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONE = re.compile(r"bytes=\s*(\d{0,20})-(\d{0,20})\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Bytes `start` to `end`, both included."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.end - self.start + 1


class UnsatisfiableError(ValueError):
    """The range lies outside of the file, or is none; answered with 416."""


def parse_range(header: str, size: int) -> Span | None:
    """Return what a Range header asks for; None when the whole file is the answer.

    Several ranges are answered with the whole file, which the RFC allows.

    Raises:
        UnsatisfiableError: Malformed, or nothing of it is in the file.
    """
    if "," in header:
        return None
    match = _ONE.fullmatch(header)
    if match is None or match.group(1) == match.group(2) == "":
        raise UnsatisfiableError(header)
    first, last = match.groups()
    if first == "":
        start, end = max(0, size - int(last)), size - 1
    else:
        start, end = int(first), min(int(last), size - 1) if last else size - 1
    if start > end or start >= size:
        raise UnsatisfiableError(header)
    return Span(start=start, end=end)
