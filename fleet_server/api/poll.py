"""The hot path: polls are answered before FastAPI sees them.

A raw ASGI application around the ordinary one. An answer that nothing has changed since is sent
from the board; every other poll asks the check-in service in a thread.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from edgekit import codec
from edgekit.errors import EdgeKitError
from edgekit.protocol import RUNNING_HEADER, parse_running
from fleet_server.api.board import Board, Seat
from fleet_server.api.context import CONTROLLER, base_url
from fleet_server.api.ddi_bodies import controller_base
from fleet_server.services.access import authenticate_device
from fleet_server.services.bag import Services
from fleet_server.services.config import Settings
from fleet_server.services.errors import NotFoundError, UnknownCallerError

_RUNNING = RUNNING_HEADER.lower().encode()
_SCHEME = b"TargetToken "
_JSON = (b"content-type", b"application/json")
_EMPTY = [(b"content-length", b"0")]


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
    ) -> None:
        self._inner = inner
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
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        token, running = b"", None
        for name, value in headers:
            if name == b"authorization" and value.startswith(_SCHEME):
                token = value[len(_SCHEME) :]
            elif name == _RUNNING:
                running = value
        base = base_url(headers, scope["scheme"], behind_proxy=self._settings.behind_proxy)
        asked = (base, running)
        if self._board.is_stale:
            await run_in_threadpool(self._board.refresh)
        seat = self._board.find(device_id)
        if (
            seat is not None
            and seat.asked == asked
            and hmac.compare_digest(seat.token, hashlib.sha256(token).hexdigest())
        ):
            self._board.mark_seen(device_id, self._clock())
            await _send(send, 200, seat.body)
            return
        status, body = await run_in_threadpool(self._ask, device_id, token, asked)
        await _send(send, status, body)

    def _ask(
        self, device_id: str, token: bytes, asked: tuple[str, bytes | None]
    ) -> tuple[int, bytes]:
        """Answer with the database's help, and keep the answer."""
        base, running = asked
        now = self._clock()
        try:
            authenticate_device(self._services.database, device_id, token.decode("latin-1"))
            said = None if running is None else parse_running(running.decode("latin-1"))
            answer = self._services.checkin.poll(device_id, said, now=now)
        except (UnknownCallerError, NotFoundError):
            return 401, b""
        except EdgeKitError:
            return 503, b""
        self._board.mark_seen(device_id, now)
        interval_s = self._settings.poll_interval_s
        body = codec.encode(controller_base(base, device_id, answer, interval_s=interval_s))
        if answer.cancel is None:
            seat = Seat(answer.token_sha256, asked, body, answer.version)
            self._board.put(device_id, seat)
        return 200, body


async def _send(send: Send, status: int, body: bytes) -> None:
    headers = [_JSON, (b"content-length", b"%d" % len(body))] if body else _EMPTY
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
