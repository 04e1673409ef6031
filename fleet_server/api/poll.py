"""The hot path: polls are answered before FastAPI sees them.

A raw ASGI application around the ordinary one. An answer that nothing has changed since is sent
from the board; every other poll asks the check-in service in a thread.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Callable
from datetime import datetime

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from edgekit import codec
from edgekit.errors import EdgeKitError, StorageError
from edgekit.protocol import RUNNING_HEADER, parse_running
from fleet_server.api.board import Board, Seat
from fleet_server.api.context import CONTROLLER, base_url
from fleet_server.api.ddi_bodies import controller_base
from fleet_server.api.metrics import Metrics
from fleet_server.api.problems import RETRY_AFTER_S
from fleet_server.services.access import authenticate_device
from fleet_server.services.bag import Services
from fleet_server.services.config import Settings
from fleet_server.services.errors import NotFoundError, UnknownCallerError

logger = logging.getLogger(__name__)

_RUNNING = RUNNING_HEADER.lower().encode()
_RELEVANT = frozenset({b"host", b"x-forwarded-host", b"x-forwarded-proto", _RUNNING})
_SCHEME = b"TargetToken "
_JSON = (b"content-type", b"application/json")
_EMPTY = [(b"content-length", b"0")]
_LATER = [*_EMPTY, (b"retry-after", b"%d" % RETRY_AFTER_S)]


class PollApp:
    """Answers GET <tenant>/controller/v1/<device>; hands everything else on."""

    def __init__(
        self,
        inner: ASGIApp,
        *,
        services: Services,
        board: Board,
        settings: Settings,
        clock: Callable[[], datetime],
        metrics: Metrics,
    ) -> None:
        self._inner = inner
        self._metrics = metrics
        self._services = services
        self._board = board
        self._settings = settings
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._inner(scope, receive, send)
            return
        path: str = scope["path"]
        device_id = path[len(CONTROLLER) :]
        if not path.startswith(CONTROLLER) or not device_id or "/" in device_id:
            await self._inner(scope, receive, send)
            return
        await self._answer(device_id, scope, send)

    async def _answer(self, device_id: str, scope: Scope, send: Send) -> None:
        token, asked = _asked(scope)
        if self._board.is_stale:
            try:
                await run_in_threadpool(self._board.refresh)
            except StorageError:
                await _send(send, 503, b"")
                return
        seat = self._board.find(device_id)
        if (
            seat is not None
            and seat.asked == asked
            and hmac.compare_digest(seat.token, hashlib.sha256(token).hexdigest())
        ):
            self._board.mark_seen(device_id, self._clock())
            self._metrics.polls.add(1, "memory")
            await _send(send, 200, seat.body)
            return
        base = base_url(scope["headers"], scope["scheme"], behind_proxy=self._settings.behind_proxy)
        status, body = await run_in_threadpool(self._ask, device_id, token, asked, base)
        self._metrics.polls.add(1, "database" if status == 200 else "refusal")
        await _send(send, status, body)

    def _ask(
        self, device_id: str, token: bytes, asked: tuple[bytes, ...], base: str
    ) -> tuple[int, bytes]:
        """Answer with the database's help, and keep the answer."""
        running, now = _running(asked), self._clock()
        try:
            authenticate_device(self._services.database, device_id, token.decode("latin-1"))
            answer = self._services.checkin.poll(device_id, running, now=now)
        except (UnknownCallerError, NotFoundError):
            return 401, b""
        except EdgeKitError as error:
            fields = {"device": device_id, "error": str(error)}
            logger.error("poll failed", extra={"fields": fields})  # noqa: TRY400 (one clear line)
            return 503, b""
        self._board.mark_seen(device_id, now)
        interval_s = self._settings.poll_interval_s
        body = codec.encode(controller_base(base, device_id, answer, interval_s=interval_s))
        if answer.cancel is None:
            seat = Seat(answer.token_sha256, asked, body, answer.version)
            self._board.put(device_id, seat)
        return 200, body


def _asked(scope: Scope) -> tuple[bytes, tuple[bytes, ...]]:
    """Return the token, and everything else of the request that an answer depends on, as sent."""
    token, asked = b"", [scope["scheme"].encode()]
    for header in scope["headers"]:
        name, value = header
        if name in _RELEVANT:
            asked += header
        elif name == b"authorization" and value.startswith(_SCHEME):
            token = value[len(_SCHEME) :]
    return token, tuple(asked)


def _running(asked: tuple[bytes, ...]) -> dict[str, str] | None:
    """Return what the device says that it runs; None when it does not say."""
    headers = dict(zip(asked[1::2], asked[2::2], strict=True))
    said = headers.get(_RUNNING)
    return None if said is None else parse_running(said.decode("latin-1"))


async def _send(send: Send, status: int, body: bytes) -> None:
    headers = [_JSON, (b"content-length", b"%d" % len(body))] if body else _EMPTY
    if status == 503:
        headers = _LATER
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
