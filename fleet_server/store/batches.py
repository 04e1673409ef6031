"""Ids in portions: a statement takes only so many bound values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

MANY = 500


def batched(ids: Iterable[str], size: int) -> Iterator[list[str]]:
    """Yield lists of at most `size` ids."""
    rest = iter(ids)
    while some := list(islice(rest, size)):
        yield some
