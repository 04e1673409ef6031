"""Many small batches of windows become one commit; each sender hears after it is durable.

While one transaction is being committed, what arrives gathers for the next: at low load a batch
waits for nobody, at high load one sync of the disk serves hundreds. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.errors import EdgeKitError
from fleet_server.services.errors import BusyError
from fleet_server.services.records.telemetry import WindowRecord
from fleet_server.services.telemetry import TelemetryService

logger = logging.getLogger(__name__)

MOST_IN_A_COMMIT = 2000
MOST_WAITING = 50_000
"""Windows. About five seconds of the fastest commits; a sender beyond is told to come again."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    records: Sequence[WindowRecord]
    done: asyncio.Future[None]


class Gathering:
    """Commits what several requests bring. Lives in one event loop."""

    def __init__(self, telemetry: TelemetryService) -> None:
        self._telemetry = telemetry
        self._queue: deque[_Waiting] = deque()
        self._windows = 0
        self._committing: asyncio.Task[None] | None = None
        self.commits = 0

    @property
    def waiting(self) -> int:
        """Windows that wait for a commit."""
        return self._windows

    @property
    def load(self) -> float:
        """How full it is, 0 to 1."""
        return min(1.0, self._windows / MOST_WAITING)

    async def store(self, records: Sequence[WindowRecord]) -> None:
        """Store windows; durable on return.

        Raises:
            BusyError: Too many wait already.
            EdgeKitError: They could not be stored; others that came at the same time were.
        """
        if not records:
            return
        if self._windows + len(records) > MOST_WAITING:
            raise BusyError("too many windows wait to be stored")
        done = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(records, done))
        self._windows += len(records)
        if self._committing is None or self._committing.done():
            self._committing = asyncio.create_task(self._drain())
        await done

    async def _drain(self) -> None:
        while self._queue:
            taken, size = [self._queue.popleft()], 0
            size = len(taken[0].records)
            while self._queue and size + len(self._queue[0].records) <= MOST_IN_A_COMMIT:
                taken.append(self._queue.popleft())
                size += len(taken[-1].records)
            await self._commit(taken)
            self._windows -= size

    async def _commit(self, taken: Sequence[_Waiting]) -> None:
        """Store all together; if that fails each alone, so that one bad batch harms no other."""
        try:
            await self._write([record for waiting in taken for record in waiting.records])
        except EdgeKitError as error:
            if len(taken) == 1:
                _fail(taken[0], error)
                return
            for one in taken:
                await self._commit([one])
            return
        except BaseException as error:
            for one in taken:
                _fail(one, error)
            raise
        for one in taken:
            if not one.done.done():
                one.done.set_result(None)

    async def _write(self, records: Sequence[WindowRecord]) -> None:
        await asyncio.to_thread(self._telemetry.keep, records)
        self.commits += 1


def _fail(waiting: _Waiting, error: BaseException) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(error)
