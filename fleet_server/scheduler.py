"""What happens without being asked: rollouts are stepped, metadata is renewed, changes forgotten.

One asyncio task beside the server. An error in one round is logged, the next round comes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from edgekit.errors import EdgeKitError
from fleet_server.services.bag import Services

logger = logging.getLogger(__name__)

_HOUSEKEEPING = timedelta(minutes=10)
_KEPT_CHANGES = 100_000


class Scheduler:
    """Ticks until it is cancelled."""

    def __init__(self, services: Services, *, tick_s: float, clock: Callable[[], datetime]) -> None:
        self._services = services
        self._tick_s = tick_s
        self._clock = clock
        self._kept_house_at: datetime | None = None

    async def run(self) -> None:
        """Tick for ever."""
        while True:
            await asyncio.to_thread(self.tick)
            await asyncio.sleep(self._tick_s)

    def tick(self) -> None:
        """Do one round; logs what fails and never raises an error of ours."""
        now = self._clock()
        self._attempt("rollouts", lambda: self._services.rollouts.tick(now=now))
        if self._kept_house_at is None or now - self._kept_house_at >= _HOUSEKEEPING:
            self._kept_house_at = now
            self._attempt("metadata", lambda: self._services.trust.renew(now=now))
            self._attempt("changes", self._forget_changes)

    def _forget_changes(self) -> None:
        with self._services.database.write() as tables:
            tables.changes.forget_before(tables.changes.version() - _KEPT_CHANGES)

    def _attempt(self, what: str, work: Callable[[], None]) -> None:
        try:
            work()
        except EdgeKitError as error:
            logger.error("round failed", extra={"fields": {"what": what, "error": str(error)}})  # noqa: TRY400 (one clear line)
        except Exception:
            logger.exception("round failed: a bug", extra={"fields": {"what": what}})
