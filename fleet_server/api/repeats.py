"""POST with an Idempotency-Key: the same request sent again gets the first answer, done once.

Keys belong to a token and live a day. An answer that held a secret is not kept: its repeat is told
that it was done. What ended in an error of the server is forgotten, so that it can be tried again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import datetime
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgekit import codec
from edgekit.client.wire.server import Problem
from edgekit.errors import ConflictError, EdgeKitError, UsageError
from fleet_server.api.problems import answer_error
from fleet_server.services.assembly import Services
from fleet_server.services.records.accounts import KeptAnswer

HEADER = "idempotency-key"
_PREFIX = "/api/v1/"
_SECRET = re.compile(
    r"/api/v1/(tokens|enrolment-tokens|session|devices|devices/[^/]+/rotate|gateways|webhooks)"
)
"""Addresses whose answers hold what must not lie in the database."""
_MOST = 200


class RepeatApp:
    """Answers repeats from what was kept; hands everything else on."""

    def __init__(
        self, inner: ASGIApp, services: Services, *, clock: Callable[[], datetime]
    ) -> None:
        self._inner = inner
        self._services = services
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._inner(scope, receive, send)
            return
        request = Request(scope, receive)
        key = request.headers.get(HEADER)
        if key is None or not scope["path"].startswith(_PREFIX):
            await self._inner(scope, receive, send)
            return
        try:
            body = await request.body()
            asked = await run_in_threadpool(self._ask, request, key, body)
        except EdgeKitError as error:
            await answer_error(request, error)(scope, receive, send)
            return
        if asked.status is not None:
            media_type = "application/json" if asked.status < 400 else "application/problem+json"
            again = Response(asked.body, asked.status, {"Idempotent-Replay": "true"}, media_type)
            await again(scope, receive, send)
            return
        await self._first(asked, body, scope, send)

    def _ask(self, request: Request, key: str, body: bytes) -> KeptAnswer:
        """Return what is known of a key; without a status the caller is the first.

        Raises:
            ConflictError: The first is still being answered.
            UsageError: The key cannot be used, or was used for another request.
            UnknownCallerError: The token is not known any more.
        """
        token = request.headers.get("authorization", "").partition(" ")[2].strip()
        now = self._clock()
        caller = self._services.accounts.authenticate(token, now=now)
        if not 1 <= len(key) <= _MOST:
            raise UsageError(f"an Idempotency-Key has 1 to {_MOST} characters")
        wanted = KeptAnswer(
            key_sha256=_digest(caller.token.encode(), key.encode("utf-8", "replace")),
            request_sha256=_digest(request.url.path.encode(), request.url.query.encode(), body),
            at=now,
        )
        with self._services.database.write() as tables:
            kept = tables.kept_answers.get(wanted.key_sha256)
            if kept is None:
                tables.kept_answers.begin(wanted)
                return wanted
        if kept.request_sha256 != wanted.request_sha256:
            raise UsageError("the Idempotency-Key was used for another request")
        if kept.status is None:
            raise ConflictError("the first request with this Idempotency-Key is not answered yet")
        return kept

    async def _first(self, asked: KeptAnswer, body: bytes, scope: Scope, send: Send) -> None:
        parts: list[bytes] = []
        status = 500

        async def keep(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                parts.append(message.get("body", b""))
            await send(message)

        try:
            await self._inner(scope, _replay(body), keep)
        finally:
            answer = partial(self._keep, asked, status, b"".join(parts), scope["path"])
            await run_in_threadpool(answer)

    def _keep(self, asked: KeptAnswer, status: int, body: bytes, path: str) -> None:
        if _SECRET.fullmatch(path) and status < 400:
            status, body = 409, _done()
        with self._services.database.write() as tables:
            if status >= 500 or status in {401, 403, 412, 429}:
                tables.kept_answers.drop(asked.key_sha256)
            else:
                text = body.decode("utf-8", "replace")
                tables.kept_answers.finish(asked.key_sha256, status=status, body=text)


def _replay(body: bytes) -> Receive:
    """Return a body once more for the application."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


def _done() -> bytes:
    detail = "was done already; its answer held a secret and was not kept"
    return codec.encode(
        Problem(title="Conflict", status=409, detail=detail, code=ConflictError.exit_code)
    )


def _digest(*parts: bytes) -> str:
    lengths = b"".join(b"%d:" % len(part) for part in parts)
    return hashlib.sha256(lengths + b"".join(parts)).hexdigest()
