"""Maintenance windows: when a new release may be begun. Pure.

A way back is not bound to them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, time

from edgekit.errors import UsageError

_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


def parse_span(text: str) -> tuple[time, time]:
    """Read "22:00-04:30" as its two ends; the second may be on the next day.

    Raises:
        UsageError: It is none.
    """
    match = _SPAN.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is no time span", todo='write it as "22:00-04:30", in UTC')
    first, second, third, fourth = map(int, match.groups())
    return time(first, second), time(third, fourth)


def may_begin(now: datetime, spans: Sequence[str]) -> bool:
    """Say whether `now` (UTC) lies in one of the spans; without any it always does."""
    at = now.time()
    return not spans or any(_within(at, *parse_span(span)) for span in spans)


def _within(at: time, begin: time, end: time) -> bool:
    return begin <= at < end if begin <= end else at >= begin or at < end
