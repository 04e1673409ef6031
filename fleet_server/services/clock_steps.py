"""What a step of the clock does to what is stored, and the latest time that was stored.

Before a date is followed everything that counts from a stored time is brought over: stages begin
anew, what has ended stays ended. Afterwards rollouts wait until devices had time to poll, and for a
day nothing is forgotten for its age: a date that is a year ahead deletes nothing by itself.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from edgekit import codec
from fleet_server.domain.events import EventKind
from fleet_server.domain.rollout import begin_anew
from fleet_server.services.clock import LONG, ServerClock, Step
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.records.events import EventRecord
from fleet_server.services.records.flags import FlagRecord

logger = logging.getLogger(__name__)

FLAG = "clock"
_SAVED_EVERY = timedelta(seconds=10)
FORGETS_AFTER = LONG
"""How long after a step nothing is forgotten for its age."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What is stored of the clock: the latest time, and when a step was followed last."""

    at: datetime
    stepped_at: datetime | None = None


class ClockStepService:
    """Follows steps of the clock, and says how long the last one is ago.

    Args:
        database: Where times are stored.
        patience: Time without a poll after which a device is silent.
    """

    def __init__(self, database: Database, *, patience: timedelta) -> None:
        self._database = database
        self._patience = patience
        self._told: timedelta | None = None

    def seen_at(self) -> datetime | None:
        """Return the latest time that was stored, UTC; None before the first."""
        with self._database.read() as tables:
            seen = _seen(tables)
        return None if seen is None else seen.at

    def watch(self, clock: ServerClock) -> None:
        """Look at the clock once; follow a step that is due, and store the time now and then."""
        step = clock.look()
        if step is not None:
            self._follow(step)
            clock.follow()
        self._tell(clock)
        self._save(clock.now())

    def may_decide(self, *, now: datetime) -> bool:
        """Say whether devices had the time to poll since the last step."""
        return self._since_step(now) >= self._patience

    def may_forget(self, *, now: datetime) -> bool:
        """Say whether the last step is so long ago that people would have set the date right."""
        return self._since_step(now) >= FORGETS_AFTER

    def _since_step(self, now: datetime) -> timedelta:
        with self._database.read() as tables:
            seen = _seen(tables)
        return timedelta.max if seen is None or seen.stepped_at is None else now - seen.stepped_at

    def _save(self, now: datetime) -> None:
        """Store the time, every ten seconds of all processes together."""
        with self._database.read() as tables:
            seen = _seen(tables)
        if _is_due(seen, now):
            with self._database.write() as tables:
                seen = _seen(tables)
                if _is_due(seen, now):
                    _put(tables, _Seen(at=now) if seen is None else replace(seen, at=now))

    def _follow(self, step: Step) -> None:
        """Bring over what is stored, unless another process did; durable on return."""
        with self._database.write() as tables:
            seen = _seen(tables)
            if seen is not None and _is_same(seen.stepped_at, step.after):
                return
            if step.by < timedelta():
                _end_what_ended(tables, step)
                _bring_back(tables, step)
            _begin_stages_anew(tables, step)
            _put(tables, _Seen(at=step.after, stepped_at=step.after))
            tables.events.tell(_event(step))
            tables.changes.record(None)
        logger.warning("clock step followed", extra={"fields": {"by_s": step.by.total_seconds()}})

    def _tell(self, clock: ServerClock) -> None:
        """Log once that the date stands off."""
        told, self._told = self._told, clock.ahead if clock.stands_off else None
        if self._told is not None and told is None:
            fields = {"ahead_s": round(self._told.total_seconds(), 1)}
            logger.warning("clock stepped: the server's time goes on", extra={"fields": fields})


def _is_due(seen: _Seen | None, now: datetime) -> bool:
    """Whether the time is to be stored; not by a process that has a step yet to follow."""
    return seen is None or _SAVED_EVERY <= now - seen.at <= LONG


def _is_same(stepped_at: datetime | None, after: datetime) -> bool:
    return stepped_at is not None and abs(after - stepped_at) <= _SAVED_EVERY


def _begin_stages_anew(tables: Tables, step: Step) -> None:
    for record in map(tables.rollouts.get, tables.rollouts.open_ids()):
        if record is not None:
            rollout = begin_anew(record.rollout, now=step.after)
            tables.rollouts.put(replace(record, rollout=rollout))


def _bring_back(tables: Tables, step: Step) -> None:
    """Let rollouts of days to come have begun just now: the later of two is what people want."""
    ahead = [r for r in tables.rollouts.all() if r.rollout.created_at > step.after]
    for number, record in enumerate(reversed(ahead), start=1):
        created_at = step.after - number * timedelta.resolution
        rollout = replace(record.rollout, created_at=created_at)
        tables.rollouts.put(replace(record, rollout=rollout))


def _end_what_ended(tables: Tables, step: Step) -> None:
    """End for good the tokens whose life was over: a date that goes back revives none."""
    for token in tables.accounts.tokens():
        over = token.expires_at is not None and token.expires_at <= step.before
        if over and token.revoked_at is None:
            tables.accounts.put_token(replace(token, revoked_at=step.after))
    tables.tokens.drop_enrolments(step.before)


def _event(step: Step) -> EventRecord:
    way = "forward" if step.by > timedelta() else "back"
    return EventRecord(
        at=step.after,
        kind=EventKind.CLOCK_STEPPED.value,
        text=f"The server's clock went {way} by {abs(step.by)}; stages that are open begin anew.",
        body={"by_s": step.by.total_seconds(), "before": step.before.isoformat()},
    )


def _seen(tables: Tables) -> _Seen | None:
    flag = tables.flags.get(FLAG)
    return None if flag is None else codec.decode(flag.value, _Seen, where="flag")


def _put(tables: Tables, seen: _Seen) -> None:
    value = codec.encode(seen).decode()
    tables.flags.put(FlagRecord(name=FLAG, value=value, by="server", at=seen.at))
