"""When a process has too much to do: 503 at once, with a time to come again that spreads callers.

Counts every request that is being answered and every connection, also those of polls, so that who
comes back with thousands of others is told something before its patience ends. Probes are answered.
"""

from __future__ import annotations

import random
import resource

from edgekit import codec
from edgekit.client.wire.server import Problem
from edgekit.errors import RefusedError
from fleet_server.api.callers import PROBES
from fleet_server.api.metrics import Metrics
from fleet_server.api.problems import RETRY_AFTER_S

DETAIL = "the server has too much to do"
_SPREAD_S = 10
_SPARE_FILES = 256
_PROBES = tuple(path.encode() for path in PROBES)
_BODY = codec.encode(
    Problem(title="Service Unavailable", status=503, detail=DETAIL, code=RefusedError.exit_code)
)


def later_s() -> int:
    """Return when a caller of an overloaded server shall come again, seconds; each another time."""
    return RETRY_AFTER_S + random.randrange(_SPREAD_S)  # noqa: S311 (spreads load)


def take_all_files() -> int:
    """Let this process open as many files and sockets as the system allows; returns how many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


class Overload:
    """Knows how much is too much for one process.

    Args:
        requests: Most requests that are answered at once; those known by heart are not counted.
        connections: Most connections; 0 takes what the limit of open files leaves.
    """

    def __init__(self, metrics: Metrics, *, requests: int, connections: int = 0) -> None:
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
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
            % (later_s(), closing, len(_BODY), _BODY)
        )
