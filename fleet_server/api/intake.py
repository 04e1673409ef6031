"""Telemetry's hot path: windows of many devices, each request answered after one shared commit.

A raw ASGI application around the ordinary one, as for polls. A token that was checked once is known
until the device changes; bodies are bounded while they arrive, and large ones are read in a thread.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from datetime import datetime

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from edgekit import codec
from edgekit.errors import EdgeKitError
from edgekit.protocol import TelemetryBatch, TelemetryReceipt
from fleet_server.api.board import Board
from fleet_server.api.context import CONTROLLER
from fleet_server.api.ddi import MAX_BATCH_BYTES
from fleet_server.api.encodings import ACCEPTED, unpack
from fleet_server.api.metrics import Metrics
from fleet_server.api.problems import answer_error
from fleet_server.services.assembly import Services
from fleet_server.services.credentials import Credentials, authenticate
from fleet_server.services.errors import SlowError, TooLargeError
from fleet_server.services.gathering import Gathering

_SUFFIX = "/telemetry"
_SCHEME = b"TargetToken "
_BODY_S = 30.0
AT_ONCE, MOST_WAITING = 2000, 50_000
"""Windows: in a commit, and about five seconds of the fastest commits."""
_LARGE_BYTES = 32 << 10


class IntakeApp:
    """Answers POST <tenant>/controller/v1/<device>/telemetry; hands everything else on."""

    def __init__(
        self,
        inner: ASGIApp,
        *,
        services: Services,
        board: Board,
        clock: Callable[[], datetime],
        metrics: Metrics,
    ) -> None:
        self._inner = inner
        self._services = services
        self._board = board
        self._clock = clock
        self._metrics = metrics
        self._gathering = Gathering(
            services.telemetry.keep_all, at_once=AT_ONCE, waiting=MOST_WAITING, size=len
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._inner(scope, receive, send)
            return
        path: str = scope["path"]
        device_id = path[len(CONTROLLER) : -len(_SUFFIX)]
        ours = path.startswith(CONTROLLER) and path.endswith(_SUFFIX)
        if not ours or not device_id or "/" in device_id or not _token(scope):
            await self._inner(scope, receive, send)
            return
        try:
            receipt = await self._take(device_id, scope, receive)
        except ClientDisconnect:
            return
        except EdgeKitError as error:
            self._metrics.windows.add(1, "failed")
            await answer_error(Request(scope), error)(scope, receive, send)
            return
        body = codec.encode(receipt)
        answer = Response(body, headers=ACCEPTED, media_type="application/json")
        await answer(scope, receive, send)

    async def _take(self, device_id: str, scope: Scope, receive: Receive) -> TelemetryReceipt:
        await self._check(device_id, scope)
        received_at = self._clock()
        headers = dict(scope["headers"])
        body = await _read(headers, receive)
        encoding = headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
        if len(body) > _LARGE_BYTES or encoding not in {"", "identity"}:
            batch = await run_in_threadpool(_decode, body, encoding)
        else:
            batch = _decode(body, encoding)
        if self._services.admission.is_new_boot(device_id, batch.boot_id):
            watch = self._services.admission.watch_boot
            await run_in_threadpool(lambda: watch(device_id, batch.boot_id, now=received_at))
        records, receipt = self._services.telemetry.prepare(
            device_id, batch, received_at=received_at, load=self._gathering.load
        )
        if records:
            await self._gathering.add(records)
        self._board.mark_seen(device_id, received_at)
        self._metrics.windows.add(len(receipt.accepted), "stored")
        self._metrics.windows.add(len(receipt.refused), "refused")
        self._metrics.commits.set(self._gathering.rounds)
        self._metrics.backlog.set(self._gathering.waiting)
        return receipt

    async def _check(self, device_id: str, scope: Scope) -> None:
        """Check the token, in memory if it was checked since the device changed.

        Raises:
            UnknownCallerError: It is not this device's.
        """
        token = _token(scope)
        if self._board.is_stale:
            await run_in_threadpool(self._board.refresh)
        shown = hashlib.sha256(token).digest()
        if self._board.passes(device_id, shown):
            return
        version = self._board.version
        secret = token[len(_SCHEME) :].decode("latin-1")
        credentials = Credentials(token=secret)
        await run_in_threadpool(
            lambda: authenticate(self._services.database, device_id, credentials, now=self._clock())
        )
        self._board.let_pass(device_id, shown, version)


def _token(scope: Scope) -> bytes:
    """Return the device's token with its scheme; empty when another scheme is used."""
    sent = next((v for k, v in scope["headers"] if k == b"authorization"), b"")
    return sent if sent.startswith(_SCHEME) else b""


def _decode(body: bytes, encoding: str) -> TelemetryBatch:
    return codec.decode(unpack(body, encoding), TelemetryBatch, where="telemetry")


async def _read(headers: dict[bytes, bytes], receive: Receive) -> bytes:
    """Return the body.

    Raises:
        TooLargeError: It is larger than a batch may be.
        SlowError: It took too long to arrive.
    """
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length[:20]) > MAX_BATCH_BYTES:
        raise TooLargeError(f"the body is larger than {MAX_BATCH_BYTES} bytes")
    first = await _part(receive, _BODY_S)
    if not first[1]:
        return first[0]
    parts, size, more = [first[0]], len(first[0]), True
    until = asyncio.get_running_loop().time() + _BODY_S
    while more:
        part, more = await _part(receive, until - asyncio.get_running_loop().time())
        parts.append(part)
        size += len(part)
        if size > MAX_BATCH_BYTES:
            raise TooLargeError(f"the body is larger than {MAX_BATCH_BYTES} bytes")
    return b"".join(parts)


async def _part(receive: Receive, patience_s: float) -> tuple[bytes, bool]:
    try:
        async with asyncio.timeout(max(0.0, patience_s)):
            message = await receive()
    except TimeoutError as error:
        raise SlowError("the body took too long to arrive") from error
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message.get("body", b""), message.get("more_body", False)
