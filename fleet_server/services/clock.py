"""The server's time: it passes as a steady clock counts, and follows the machine's date with care.

A date can be set by an hour, a day or to 1970 while the server runs. What was stored before is
compared with what comes after, so the server's own time never jumps with it:

    the date is                      the server's time
    ahead by up to 5 s               takes it over
    behind by up to a day            passes more slowly, half as fast at least, until they meet
    ahead by more, behind by more    goes on; follows once the date has stood for `settle_s`
    before 2026: nobody set it yet   goes on, from the latest time that was stored

A server that starts knows only that latest time: up to a day ahead of it is an outage, no step.

Asks no clock by itself and stores nothing: `clock_steps` does what following needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

TOLERANCE = timedelta(seconds=5)
LONG = timedelta(days=1)
SET_SINCE = datetime(2026, 1, 1, tzinfo=UTC)
"""A date before this one was set by nobody: the software is younger."""
_MEET_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The date differs from the time that passed.

    Attributes:
        before: The server's time, UTC.
        after: The date, UTC.
    """

    before: datetime
    after: datetime

    @property
    def by(self) -> timedelta:
        """How far the date is ahead; negative when it is behind."""
        return self.after - self.before


class _Anchor(NamedTuple):
    own: datetime
    at_s: float
    rate: float


class _Stand(NamedTuple):
    by: timedelta
    since_s: float


class ServerClock:
    """Tells the time; `now` may be called from any thread, the rest from one.

    Args:
        wall: The machine's date, UTC.
        steady_s: Seconds of a clock that never steps.
        seen_at: Latest time that the server stored, UTC; None before the first.
        settle_s: How long a date has to stand before it is followed.
    """

    def __init__(
        self,
        wall: Callable[[], datetime],
        steady_s: Callable[[], float],
        *,
        seen_at: datetime | None,
        settle_s: float,
    ) -> None:
        self._wall = wall
        self._steady_s = steady_s
        self._settle_s = settle_s
        date, least = wall(), max(seen_at or SET_SINCE, SET_SINCE)
        away = date - least
        self._proven = away >= timedelta() and (seen_at is None or away <= LONG)
        self._anchor = _Anchor(date if self._proven else least, steady_s(), 1.0)
        self._stand: _Stand | None = None
        self._ahead = timedelta()

    def now(self) -> datetime:
        """Return the server's time, UTC."""
        own, at_s, rate = self._anchor
        return own + timedelta(seconds=(self._steady_s() - at_s) * rate)

    @property
    def ahead(self) -> timedelta:
        """How far the date was ahead of the server's time at the last look."""
        return self._ahead

    @property
    def stands_off(self) -> bool:
        """Whether the date differs by a step that is not followed yet."""
        return self._stand is not None

    def look(self) -> Step | None:
        """Compare with the date; returns a step that is to be followed now."""
        date, own, at_s = self._wall(), self.now(), self._steady_s()
        self._ahead = by = date - own
        if timedelta() <= by <= (TOLERANCE if self._proven else LONG):
            self._take_over(date, at_s)
        elif -LONG <= by < timedelta():
            slower = min(0.5, -by.total_seconds() / _MEET_S)
            self._anchor, self._stand = _Anchor(own, at_s, 1.0 - slower), None
        else:
            self._anchor = _Anchor(own, at_s, 1.0)
            return self._settled(Step(before=own, after=date), at_s)
        return None

    def follow(self) -> None:
        """Go on from the date as it is."""
        self._take_over(self._wall(), self._steady_s())

    def _take_over(self, date: datetime, at_s: float) -> None:
        self._anchor, self._stand, self._proven = _Anchor(date, at_s, 1.0), None, True

    def _settled(self, step: Step, at_s: float) -> Step | None:
        """Return the step if its date has stood for long; at once if the own time is only a least.

        A date that nobody set is never followed.
        """
        if self._stand is None or abs(step.by - self._stand.by) > TOLERANCE:
            self._stand = _Stand(step.by, at_s)
        if step.after < SET_SINCE:
            return None
        late = not self._proven and step.after > step.before
        return step if late or at_s - self._stand.since_s >= self._settle_s else None
