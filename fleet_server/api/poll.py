"""The hot path: polls are answered before FastAPI sees them.

An answer that nothing has changed since is sent from the board, by the connection itself
(`fleet_server.api.patience`); every other poll comes to a raw ASGI application around the ordinary
one, which asks the check-in service, for all that come at the same time at once.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from edgekit import codec
from edgekit.errors import EdgeKitError, StorageError
from edgekit.protocol import RUNNING_HEADER, parse_running
from fleet_server.api.board import Board, Seat
from fleet_server.api.callers import Doorkeeper
from fleet_server.api.context import CONTROLLER
from fleet_server.api.ddi_bodies import controller_base
from fleet_server.api.metrics import Metrics
from fleet_server.api.problems import RETRY_AFTER_S
from fleet_server.api.proxy import Headers, ProxyRule
from fleet_server.services.assembly import Services
from fleet_server.services.checkin import Poll, PollAnswer
from fleet_server.services.config import Settings
from fleet_server.services.credentials import (
    Credentials,
    Scheme,
    authenticate,
    is_own_token,
    seat_digest,
)
from fleet_server.services.errors import NotFoundError, UnknownCallerError
from fleet_server.services.gathering import Gathering

logger = logging.getLogger(__name__)

_RUNNING = RUNNING_HEADER.lower().encode()
_RELEVANT = frozenset(
    {
        *(b"host", b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port"),
        *(b"x-forwarded-prefix", _RUNNING),
    }
)
_SCHEMES = {
    b"TargetToken": Scheme.DEVICE,
    b"GatewayToken": Scheme.GATEWAY,
}
_PREFIX = CONTROLLER.encode()
_NO_PLAIN_NAME = frozenset(b"/%?#")
_AT_ONCE, _MOST_WAITING = 250, 100_000
"""Polls in a transaction; those that wait are bounded by `Overload` long before."""
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
        doorkeeper: Doorkeeper,
    ) -> None:
        self._inner = inner
        self._doorkeeper = doorkeeper
        self._metrics = metrics
        self._services = services
        self._board = board
        self._settings = settings
        self._proxy = ProxyRule.of(settings)
        self._clock = clock
        checkin = services.checkin
        self._looking = Gathering(checkin.look, at_once=_AT_ONCE, waiting=_MOST_WAITING)
        self._saving = Gathering(checkin.save, at_once=_AT_ONCE, waiting=_MOST_WAITING)

    def at_once(self, url: bytes, headers: Headers, *, scheme: str, peer: str) -> bytes | None:
        """Return the body of a poll's answer if it is known by heart; None for all other requests.

        Args:
            url: Of a GET request, as sent.
            headers: Names in lower case, and values.
            scheme: "http" or "https".
            peer: Address of the caller.
        """
        if not url.startswith(_PREFIX) or self._proxy.root_path or self._board.is_stale:
            return None
        name = url[len(_PREFIX) :]
        if not name.isascii() or not _NO_PLAIN_NAME.isdisjoint(name):
            return None
        device_id = name.decode("ascii")
        shown, asked = self._shown(headers, scheme, device_id, peer)
        known = self._by_heart(device_id, shown, asked)
        if known is None or not self._doorkeeper.lets_in(device_id, shown.token):
            return None
        return known

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
        peer = scope["client"][0] if scope["client"] else ""
        shown, asked = self._shown(scope["headers"], scope["scheme"], device_id, peer)
        if self._board.is_stale and self._board.find(device_id) is not None:
            try:
                await run_in_threadpool(self._board.refresh)
            except StorageError:
                await _send(send, 503, b"")
                return
        known = self._by_heart(device_id, shown, asked)
        if known is not None:
            await _send(send, 200, known)
            return
        base = self._proxy.base_url(scope["headers"], scope["scheme"], peer)
        status, body = await self._ask(device_id, shown, asked, base)
        self._metrics.polls.add(1, "database" if status == 200 else "refusal")
        await _send(send, status, body)

    def _by_heart(
        self, device_id: str, shown: Credentials, asked: tuple[bytes, ...]
    ) -> bytes | None:
        seat = self._board.find(device_id)
        if (
            seat is None
            or seat.asked != asked
            or not hmac.compare_digest(seat.token, seat_digest(shown))
        ):
            return None
        self._board.mark_seen(device_id, self._clock())
        self._metrics.polls.add(1, "memory")
        return seat.body

    def _shown(
        self, headers: Headers, scheme: str, device_id: str, peer: str
    ) -> tuple[Credentials, tuple[bytes, ...]]:
        """Return who the caller says it is, and all else that an answer depends on, as sent."""
        authorization, asked = b"", [scheme.encode()]
        for header in headers:
            name, value = header
            if name in _RELEVANT:
                asked += header
            elif name == b"authorization":
                authorization = value
        word, _, token = authorization.partition(b" ")
        how = _SCHEMES.get(word)
        if how is None:
            token, how = b"", Scheme.DEVICE
            if self._proxy.vouches(headers, peer, device_id):
                how = Scheme.PROXY
        asked += (b":by", how.encode(), b":from", b"proxy" if self._proxy.trusts(peer) else b"")
        return Credentials(scheme=how, token=token.decode("latin-1")), tuple(asked)

    async def _ask(
        self, device_id: str, shown: Credentials, asked: tuple[bytes, ...], base: str
    ) -> tuple[int, bytes]:
        """Answer with the database's help, and keep the answer."""
        poll = Poll(device_id=device_id, running=_running(asked), at=self._clock())
        try:
            answer = await self._visit(poll, shown)
        except (UnknownCallerError, NotFoundError):
            return 401, b""
        except EdgeKitError as error:
            fields = {"device": device_id, "error": str(error)}
            logger.error("poll failed", extra={"fields": fields})  # noqa: TRY400 (one clear line)
            return 503, b""
        self._board.mark_seen(device_id, poll.at)
        interval_s = self._settings.poll_interval_s
        body = codec.encode(controller_base(base, device_id, answer, interval_s=interval_s))
        if answer.keeps:
            seat = Seat(seat_digest(shown), asked, body, answer.version)
            self._board.put(device_id, seat)
        return 200, body

    async def _visit(self, poll: Poll, shown: Credentials) -> PollAnswer:
        """Think a poll through, and store what it changes.

        Raises:
            UnknownCallerError: The caller is not this device.
            NotFoundError: The device is gone.
        """
        visit = await self._looking.add(poll)
        if visit is None or not is_own_token(visit.stored, shown):
            database, device_id, now = self._services.database, poll.device_id, poll.at
            await run_in_threadpool(partial(authenticate, database, device_id, shown, now=now))
            visit = await self._looking.add(poll)
        if visit is not None and visit.changes:
            visit = await self._saving.add(poll)
        if visit is None:
            raise NotFoundError("there is no such device", where=poll.device_id)
        return visit.answer


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
