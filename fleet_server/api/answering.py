"""What answers carry, but those to polls and telemetry: a request id, and headers for browsers.

Headers that a route sets itself stay as they are.
"""

from __future__ import annotations

import re
import secrets
from typing import Self

from starlette.types import Message, Scope, Send

_REQUEST_ID = b"x-request-id"
_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)


class Answering:
    """Sends an answer with the headers that every answer carries.

    Attributes:
        request_id: Of the request: the proxy's if there is a proxy, else one of our own.
        status: Of the answer; 0 until it begins.
    """

    def __init__(self, send: Send, request_id: str, *, secure: bool) -> None:
        self._send = send
        self._added = [(_REQUEST_ID, request_id.encode()), *_HEADERS]
        if secure:
            self._added.append((b"strict-transport-security", b"max-age=31536000"))
        self.request_id = request_id
        self.status = 0

    @classmethod
    def of(cls, scope: Scope, send: Send, *, behind_proxy: bool) -> Self:
        """Return what answers a request, whose id it writes into the request's state."""
        headers = dict(scope["headers"]) if behind_proxy else {}
        given = headers.get(_REQUEST_ID, b"")
        request_id = given.decode() if _ID.fullmatch(given) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        secure = scope["scheme"] == "https" or headers.get(b"x-forwarded-proto") == b"https"
        return cls(send, request_id, secure=secure)

    async def __call__(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            there = {name.lower() for name, _ in message.get("headers", ())}
            added = [pair for pair in self._added if pair[0] not in there]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await self._send(message)
