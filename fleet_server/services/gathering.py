"""Work that many requests bring is done together; each hears when its own is done.

While one round is being done, what arrives gathers for the next: at low load a request waits for
nobody, at high load one transaction serves hundreds. Knows no HTTP and no database.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from edgekit.errors import EdgeKitError
from fleet_server.services.errors import BusyError

Item = TypeVar("Item")
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Item, Done]):
    item: Item
    size: int
    done: asyncio.Future[Done]


class Gathering(Generic[Item, Done]):
    """Rounds of work in a thread, one after the other. Lives in one event loop.

    Args:
        work: Does a round; returns what became of each item, in their order.
        at_once: Most in a round.
        waiting: Most that wait; a caller beyond is told to come again.
        size: How much of both an item is.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Done]],
        *,
        at_once: int,
        waiting: int,
        size: Callable[[Item], int] = lambda _: 1,
    ) -> None:
        self._work = work
        self._at_once = at_once
        self._most_waiting = waiting
        self._size = size
        self._queue: deque[_Waiting[Item, Done]] = deque()
        self._waiting = 0
        self._draining: asyncio.Task[None] | None = None
        self.rounds = 0

    @property
    def waiting(self) -> int:
        """How much is not done yet."""
        return self._waiting

    @property
    def load(self) -> float:
        """How full it is, 0 to 1."""
        return min(1.0, self._waiting / self._most_waiting)

    async def add(self, item: Item) -> Done:
        """Have an item done with others; returns what became of it.

        Raises:
            BusyError: Too much waits already.
            EdgeKitError: It could not be done; others that came at the same time were.
        """
        size = self._size(item)
        if self._waiting + size > self._most_waiting:
            raise BusyError("too much waits for the database")
        done: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(item, size, done))
        self._waiting += size
        if self._draining is None or self._draining.done():
            self._draining = asyncio.create_task(self._drain())
        return await done

    async def _drain(self) -> None:
        while self._queue:
            taken = [self._queue.popleft()]
            size = taken[0].size
            while self._queue and size + self._queue[0].size <= self._at_once:
                taken.append(self._queue.popleft())
                size += taken[-1].size
            await self._round(taken)
            self._waiting -= size

    async def _round(self, taken: Sequence[_Waiting[Item, Done]]) -> None:
        """Do all together; if that fails each alone, so that one bad item harms no other."""
        try:
            found = await asyncio.to_thread(self._work, [waiting.item for waiting in taken])
        except EdgeKitError as error:
            if len(taken) == 1:
                _fail(taken[0], error)
                return
            for one in taken:
                await self._round([one])
            return
        except BaseException as error:
            for one in taken:
                _fail(one, error)
            raise
        self.rounds += 1
        for waiting, done in zip(taken, found, strict=True):
            if not waiting.done.done():
                waiting.done.set_result(done)


def _fail(waiting: _Waiting[Item, Done], error: BaseException) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(error)
