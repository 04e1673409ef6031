"""What stands in front of every request but polls and telemetry: limits, ids, headers, counts.

A raw ASGI application; it knows no route. A request has an id that its log lines, its answer and
its audit lines share. A body has a largest size and a longest time, the server a largest number of
requests at once; who comes then is told when to come again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgekit import codec, log
from edgekit.client.wire.server import Problem
from edgekit.errors import RefusedError
from fleet_server.api.answering import Answering
from fleet_server.api.metrics import Metrics
from fleet_server.api.overload import DETAIL, Appointments

logger = logging.getLogger(__name__)

UPLOADS = "/api/v1/blobs/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a caller may ask of the server.

    Attributes:
        body_bytes: Largest body of a request that is no upload.
        body_s: Longest time until such a body is here.
        idle_s: Longest time between two parts of an upload.
        requests: Most requests at once; polls are not counted.
    """

    body_bytes: int = 8 << 20
    body_s: float = 30.0
    idle_s: float = 30.0
    requests: int = 200


class Shield:
    """Guards an application."""

    def __init__(
        self,
        inner: ASGIApp,
        *,
        metrics: Metrics,
        limits: Limits,
        appointments: Appointments,
        behind_proxy: bool = False,
    ) -> None:
        self._inner = inner
        self._metrics = metrics
        self._limits = limits
        self._appointments = appointments
        self._behind_proxy = behind_proxy
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or tell it to come again."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        answering = Answering.of(scope, send, behind_proxy=self._behind_proxy)
        if self._now >= self._limits.requests:
            self._metrics.requests.add(1, scope["method"], "overload", "503")
            await _come_again(answering, self._appointments.next_s())
            return
        started = time.perf_counter()
        self._now += 1
        self._metrics.in_flight.set(self._now)
        with log.context(request=answering.request_id):
            try:
                await self._inner(scope, _Body(scope, receive, self._limits), answering)
            except HTTPException as error:  # raised by the body outside of the application
                if answering.status:
                    raise
                await _refuse(answering, error.status_code, "the body is too large or too slow")
            finally:
                self._now -= 1
                self._metrics.in_flight.set(self._now)
                self._count(scope, answering.status, time.perf_counter() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.requests.add(1, scope["method"], route, str(status))
        self._metrics.duration_s.observe(seconds, route)
        fields = {"method": scope["method"], "route": route, "status": status}
        logger.debug("answered", extra={"fields": {**fields, "ms": round(seconds * 1000, 1)}})


class _Body:
    """Receives a body within its limits."""

    def __init__(self, scope: Scope, receive: Receive, limits: Limits) -> None:
        self._receive = receive
        self._limits = limits
        self._is_upload = scope["path"].startswith(UPLOADS)
        self._size = 0
        self._until = asyncio.get_running_loop().time() + limits.body_s
        self._whole = False

    async def __call__(self) -> Message:
        if self._whole:
            return await self._receive()  # waits for the caller to go away
        try:
            async with asyncio.timeout(self._patience()):
                message = await self._receive()
        except TimeoutError as error:
            raise HTTPException(408, headers={"Connection": "close"}) from error
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if not self._is_upload and self._size > self._limits.body_bytes:
                raise HTTPException(413, headers={"Connection": "close"})
        return message

    def _patience(self) -> float:
        if self._is_upload:
            return self._limits.idle_s
        return max(0.0, self._until - asyncio.get_running_loop().time())


async def _come_again(send: Answering, wait_s: int) -> None:
    await _refuse(send, 503, DETAIL, (b"retry-after", b"%d" % wait_s))


async def _refuse(send: Answering, status: int, detail: str, *more: tuple[bytes, bytes]) -> None:
    title = HTTPStatus(status).phrase
    problem = Problem(title=title, status=status, detail=detail, code=RefusedError.exit_code)
    body = codec.encode(problem)
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
