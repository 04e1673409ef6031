"""What happens without being asked: rollouts are stepped, metadata is renewed, changes forgotten.

One asyncio task beside each server process; only the one whose turn it is does anything. An error
in one round is logged, the next round comes. Each step is one transaction that loads what it
changes, so that even two schedulers would decide nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from edgekit.errors import EdgeKitError
from fleet_server.services.assembly import Services
from fleet_server.services.benchmarks import LATENCY
from fleet_server.services.ports.turns import Turn

logger = logging.getLogger(__name__)

_HOUSEKEEPING = timedelta(minutes=10)
_WATCH_TICKS = 15
_KEPT_CHANGES = 100_000
_KEPT_ANSWERS = timedelta(days=1)


class Scheduler:
    """Ticks until it is cancelled."""

    def __init__(
        self, services: Services, turn: Turn, *, tick_s: float, clock: Callable[[], datetime]
    ) -> None:
        self._services = services
        self._turn = turn
        self._leads = False
        self._tick_s = tick_s
        self._clock = clock
        self._kept_house_at: datetime | None = None
        self._watched_at: datetime | None = None

    async def run(self) -> None:
        """Tick for ever, and call webhooks beside; gives the turn back when it is cancelled."""
        try:
            await asyncio.gather(self._repeat(self.tick), self._repeat(self.tell))
        finally:
            self._turn.release()

    async def _repeat(self, work: Callable[[], None]) -> None:
        while True:
            await asyncio.to_thread(work)
            await asyncio.sleep(self._tick_s)

    def tell(self) -> None:
        """Call webhooks if it is this process's turn; a receiver that is slow delays no rollout."""
        if self._leads:
            now = self._clock()
            self._attempt("webhooks", lambda: self._services.webhooks.deliver(now=now))

    def tick(self) -> None:
        """Do one round if it is this process's turn; logs what fails and never raises."""
        self._attempt("turn", self._look_whose_turn)
        if not self._leads:
            return
        now = self._clock()
        self._attempt("rollouts", lambda: self._step_rollouts(now))
        if _is_due(self._watched_at, now, timedelta(seconds=_WATCH_TICKS * self._tick_s)):
            self._watched_at = now
            self._attempt("alarms", lambda: self._watch(now))
        if _is_due(self._kept_house_at, now, _HOUSEKEEPING):
            self._kept_house_at = now
            self._attempt("metadata", lambda: self._services.trust.renew(now=now))
            self._attempt("changes", self._forget_changes)
            self._attempt("drift", lambda: self._services.drift.tick(now=now))
            self._attempt("old", lambda: self._forget_old(now))

    @property
    def leads(self) -> bool:
        """Whether it was this process's turn at the latest tick."""
        return self._leads

    def _look_whose_turn(self) -> None:
        before, mine = self._leads, False
        try:
            mine = self._turn.mine()
        finally:
            self._leads = mine
        if self._leads != before:
            logger.info("scheduler", extra={"fields": {"leads": self._leads}})

    def _step_rollouts(self, now: datetime) -> None:
        if self._services.clock_steps.may_decide(now=now):
            self._services.rollouts.tick(now=now)

    def _forget_old(self, now: datetime) -> None:
        """Forget what is old, unless the clock stepped: then it may only look old."""
        if not self._services.clock_steps.may_forget(now=now):
            return
        self._attempt("recorded answers", lambda: self._services.field.forget(now=now))
        self._attempt("windows", lambda: self._forget_windows(now))
        self._attempt("answers", lambda: self._forget_answers(now))
        self._attempt("diagnoses", lambda: self._services.diagnoses.forget(now=now))
        self._attempt("events", lambda: self._services.events.forget(now=now))
        self._attempt("calls", lambda: self._services.webhooks.forget(now=now))

    def _watch(self, now: datetime) -> None:
        alarms = self._services.benchmarks.field_alarms(now=now)
        self._services.events.watch(LATENCY, alarms, now=now)

    def _forget_changes(self) -> None:
        with self._services.database.write() as tables:
            tables.changes.forget_before(tables.changes.version() - _KEPT_CHANGES)

    def _forget_windows(self, now: datetime) -> None:
        if forgotten := self._services.telemetry.forget(now=now):
            logger.info("windows became days", extra={"fields": {"windows": forgotten}})

    def _forget_answers(self, now: datetime) -> None:
        with self._services.database.write() as tables:
            tables.kept_answers.forget_before(now - _KEPT_ANSWERS)

    def _attempt(self, what: str, work: Callable[[], None]) -> None:
        try:
            work()
        except EdgeKitError as error:
            logger.error("round failed", extra={"fields": {"what": what, "error": str(error)}})  # noqa: TRY400 (one clear line)
        except Exception:
            logger.exception("round failed: a bug", extra={"fields": {"what": what}})


def _is_due(last: datetime | None, now: datetime, every: timedelta) -> bool:
    """Whether it is time again; also after a clock that stepped back."""
    return last is None or not timedelta() <= now - last < every
