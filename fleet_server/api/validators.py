"""ETags of the management API: a GET whose answer has not changed is answered with 304."""

from __future__ import annotations

import hashlib

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PREFIX = "/api/v1/"
_DROPPED = {b"content-length", b"content-type"}


class ValidatorApp:
    """Adds an ETag to JSON answers, and sends none that the caller has."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        is_read = scope["type"] == "http" and scope["method"] == "GET"
        if not is_read or not scope["path"].startswith(_PREFIX):
            await self._inner(scope, receive, send)
            return
        known = Headers(scope=scope).get("if-none-match", "")
        await self._inner(scope, receive, _Tagging(send, known))


class _Tagging:
    """Holds an answer back until its tag is known."""

    def __init__(self, send: Send, known: str) -> None:
        self._send = send
        self._known = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        self._start: Message | None = None
        self._parts: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            if message["status"] != 200:
                await self._send(message)
            return
        if self._start is None or self._start["status"] != 200:
            await self._send(message)
            return
        self._parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            await self._finish(b"".join(self._parts))

    async def _finish(self, body: bytes) -> None:
        assert self._start is not None  # noqa: S101 (the body follows the start)
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        start = {**self._start, "headers": [*self._start["headers"], (b"etag", tag.encode())]}
        if tag in self._known:
            kept = [pair for pair in start["headers"] if pair[0].lower() not in _DROPPED]
            start, body = {**start, "status": 304, "headers": kept}, b""
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})
