"""Writers take turns, and short ones that wait share a commit.

A commit waits for the disk, several times longer than a device's report takes to write. So who is
done leaves the transaction to the next in line, and the last of them commits for all. Each is all
or nothing by a savepoint of its own, sees what those before it wrote, and returns when the commit
is durable, or raises when it is not. Knows no tables.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, NestedTransaction
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

MOST_TOGETHER = 32
"""Writers in a commit: the first of them waits for all."""
_TIMEOUT_S = 10.0


class Line:
    """Threads that wait for their turn, first come, first served."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_taken = False
        self._waiting: deque[threading.Event] = deque()

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def take(self, timeout_s: float) -> bool:
        """Wait for the turn; False when it did not come in time."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return True
            mine = threading.Event()
            self._waiting.append(mine)
        if mine.wait(timeout_s):
            return True
        with self._lock:
            if mine.is_set():  # it came just now
                return True
            self._waiting.remove(mine)
            return False

    def pass_on(self) -> bool:
        """Give the turn to the next in line; False when nobody waits, and the turn is kept."""
        with self._lock:
            if not self._waiting:
                return False
            self._waiting.popleft().set()
            return True

    def leave(self) -> None:
        """Give the turn to the next in line, or to whoever comes."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_taken = False


class _Shared:
    """One transaction of several writers; used by one thread at a time."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._transaction = connection.begin()
        self._writers = 0
        self._is_committed = False
        self._error: SQLAlchemyError | None = None
        self._ended = threading.Event()

    @property
    def takes_more(self) -> bool:
        """Whether another may go on in it."""
        return self._error is None and 0 < self._writers < MOST_TOGETHER

    @contextmanager
    def one(self) -> Iterator[Connection]:
        """Write all or nothing; the first needs no savepoint, because there is nothing to keep."""
        nested: NestedTransaction | None = None
        try:
            if self._writers:
                nested = self.connection.begin_nested()
            yield self.connection
            if nested is not None:
                nested.commit()
        except BaseException as error:
            self._undo(nested, error)
            raise
        self._writers += 1

    def end(self) -> None:
        """Commit for all, unless the database failed one; wakes them."""
        try:
            if self._error is None and self._writers:
                self._transaction.commit()
                self._is_committed = True
        except SQLAlchemyError as error:
            self._error = error
        finally:
            with suppress(SQLAlchemyError):
                self.connection.close()  # takes back what is not committed
            self._ended.set()

    def wait(self) -> None:
        """Wait for the commit.

        Raises:
            SQLAlchemyError: It failed, or the database failed one of the writers.
        """
        self._ended.wait()
        if not self._is_committed:
            raise self._error or InterfaceError("COMMIT", None, Exception("was interrupted"))

    def _undo(self, nested: NestedTransaction | None, error: BaseException) -> None:
        """Take one writer back; a database that failed may have taken back everything already."""
        if isinstance(error, (OperationalError, InterfaceError)):
            self._error = error
        elif nested is not None:
            try:
                nested.rollback()
            except SQLAlchemyError as broken:
                self._error = broken


class Writers:
    """The writers of one process. Safe from several threads.

    Args:
        connect: Returns a connection whose next transaction is one that writes.
        busy: Makes the error for who waited too long.
    """

    def __init__(self, connect: Callable[[], Connection], busy: Callable[[], Exception]) -> None:
        self._connect = connect
        self._busy = busy
        self._shared: _Shared | None = None
        self.line = Line()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have a turn in which nobody else of this process writes."""
        self._take()
        try:
            self._end()
            yield
        finally:
            self.line.leave()

    @contextmanager
    def together(self) -> Iterator[Connection]:
        """Write all or nothing, durable when it is left, in a transaction with who comes next.

        Raises:
            SQLAlchemyError: It was not committed; nothing was written.
        """
        self._take()
        try:
            shared = self._shared = self._shared or self._begin()
            with shared.one() as connection:
                yield connection
        finally:
            self._hand_over()
        shared.wait()

    def _take(self) -> None:
        if not self.line.take(_TIMEOUT_S):
            raise self._busy()

    def _begin(self) -> _Shared:
        connection = self._connect()
        try:
            return _Shared(connection)
        except BaseException:
            connection.close()
            raise

    def _hand_over(self) -> None:
        """Leave the transaction to the next in line; if there is none, or it is full, end it."""
        if self._shared is not None and self._shared.takes_more and self.line.pass_on():
            return
        try:
            self._end()
        finally:
            self.line.leave()

    def _end(self) -> None:
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.end()
