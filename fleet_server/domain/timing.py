"""When a rollout may offer something: maintenance windows, and so many devices in a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_CLOCK = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")


class Day(StrEnum):
    """A day of the week, Monday first."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


@dataclass(frozen=True, slots=True, kw_only=True)
class MaintenanceWindow:
    """Hours in which offers may be made.

    Attributes:
        start: "02:00"; the window begins on each of `days` then.
        end: "05:00"; at or before `start` it is on the day after.
        days: On which days it begins; empty for every day.
        timezone: Name in the time zone database.
    """

    start: str
    end: str
    days: tuple[Day, ...] = ()
    timezone: str = "UTC"

    def holds(self, now: datetime) -> bool:
        """Say whether it is open; daylight saving moves it with the clocks."""
        local = now.astimezone(ZoneInfo(self.timezone))
        start, end = time.fromisoformat(self.start), time.fromisoformat(self.end)
        clock = local.time()
        if start < end:
            return self._begins(local) and start <= clock < end
        yesterday = local - timedelta(days=1)
        return (self._begins(local) and clock >= start) or (self._begins(yesterday) and clock < end)

    def _begins(self, local: datetime) -> bool:
        return not self.days or list(Day)[local.weekday()] in self.days


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """At most so many new offers in a time.

    Attributes:
        devices: At least 1.
        per_s: Seconds, above 0.
    """

    devices: int
    per_s: float = 60.0

    @property
    def period(self) -> timedelta:
        """The time."""
        return timedelta(seconds=self.per_s)


def is_open(windows: Sequence[MaintenanceWindow], now: datetime) -> bool:
    """Say whether offers may be made; without any window always."""
    return not windows or any(window.holds(now) for window in windows)


def window_problems(name: str, window: MaintenanceWindow) -> Iterator[str]:
    """Say what is wrong with a window."""
    for field, text in (("start", window.start), ("end", window.end)):
        if not _CLOCK.fullmatch(text):
            yield f"{name}.{field} must be like '02:00', not {text!r}"
    try:
        ZoneInfo(window.timezone)
    except (ZoneInfoNotFoundError, ValueError):
        yield f"{name}.timezone: {window.timezone!r} is not in the time zone database"
