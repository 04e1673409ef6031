"""When a process has too much to do: 503 at once, with an appointment.

Who is refused is told to come when those before it will have been answered, at the rate at which
callers were answered lately: a crowd comes back as fast as it can be served, and no faster.

Counts every request that is being answered and every connection, also those of polls, so that who
comes back with thousands of others is told something before its patience ends. Probes are answered.
"""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Callable
from math import ceil

from edgekit import codec
from edgekit.client.wire.server import Problem
from edgekit.errors import RefusedError
from fleet_server.api.callers import PROBES
from fleet_server.api.metrics import Metrics

DETAIL = "the server has too much to do"
_FIRST_RATE, _LEAST_RATE = 2000.0, 50.0
"""Answers a second: before any were counted, and at least. Who comes too early is refused again,
which costs little; who is told to come too late waits for nothing."""
_SAMPLE, _SAMPLE_S, _STALE_S = 200, 2.0, 10.0
_MOST_S = 60.0
_CLOCK_S = 0.001
_SPARE_FILES = 256
_PROBES = tuple(path.encode() for path in PROBES)
_BODY = codec.encode(
    Problem(title="Service Unavailable", status=503, detail=DETAIL, code=RefusedError.exit_code)
)


def take_all_files() -> int:
    """Let this process open as many files and sockets as the system allows; returns how many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


class Appointments:
    """Hands out times to come again, one after the other. Lives in one event loop.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rate = _FIRST_RATE
        self._counted_since_s = clock()
        self._answered = 0
        self._taken_until_s = 0.0

    def answered(self) -> None:
        """Count an answer that took work."""
        self._answered += 1

    def next_s(self) -> int:
        """Return in how many seconds the next caller shall come again, from 1 to 60."""
        now_s = self._clock()
        self._measure(now_s)
        self._taken_until_s = max(self._taken_until_s, now_s) + 1 / self._rate
        wait_s = self._taken_until_s - now_s
        if wait_s > _MOST_S:
            self._taken_until_s = now_s + _MOST_S
            wait_s = random.uniform(_MOST_S / 2, _MOST_S)  # noqa: S311 (spreads load)
        return ceil(wait_s)

    def _measure(self, now_s: float) -> None:
        """Learn the rate while there is too much to do; what was counted before says little."""
        passed_s = now_s - self._counted_since_s
        if self._answered < _SAMPLE and passed_s < _SAMPLE_S:
            return
        if passed_s < _STALE_S:
            measured = self._answered / max(passed_s, _CLOCK_S)
            self._rate = max(_LEAST_RATE, (self._rate + measured) / 2)
        self._counted_since_s, self._answered = now_s, 0


class Overload:
    """Knows how much is too much for one process.

    Args:
        requests: Most requests that are answered at once; those known by heart are not counted.
        connections: Most connections; 0 takes what the limit of open files leaves.
    """

    def __init__(self, metrics: Metrics, *, requests: int, connections: int = 0) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.appointments = Appointments()
        self._metrics = metrics
        self._requests = requests
        self._connections = connections or max(1, files - _SPARE_FILES)

    def refusal(self, url: bytes, *, requests: int, connections: int) -> bytes | None:
        """Return the whole answer to a request that comes now; None when it is not too much.

        Args:
            url: As sent.
            requests: How many are being answered.
            connections: How many are open, with this one.
        """
        crowded = connections > self._connections
        if (requests < self._requests and not crowded) or url.endswith(_PROBES):
            return None
        self._metrics.refused.add(1, "overload")
        closing = b"connection: close\r\n" if crowded else b""
        return (
            b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n"
            b"retry-after: %d\r\n%scontent-length: %d\r\n\r\n%s"
            % (self.appointments.next_s(), closing, len(_BODY), _BODY)
        )
