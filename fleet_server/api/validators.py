"""ETags of the management API: 304 for what has not changed, 412 for a change that came too late.

A tag of what people decide about is "<state>-<content>": If-None-Match looks at the whole of
it, If-Match only at the state (`fleet_server.services.precondition`).
"""

from __future__ import annotations

import hashlib
import json
import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fleet_server.services.precondition import (
    ACCOUNT,
    COUNTS,
    DEVICE,
    EXPERIMENT,
    FREEZE,
    PARAMETERS,
    RELEASE,
    ROLLOUT,
    Precondition,
    expecting,
    state_tag,
)

_PREFIX = "/api/v1/"
_DROPPED = {b"content-length", b"content-type"}
_THINGS = (
    (PARAMETERS, re.compile(r"/api/v1/devices/([^/]+)/parameters/([^/]+)")),
    (DEVICE, re.compile(r"/api/v1/devices/([^/]+)")),
    (ROLLOUT, re.compile(r"/api/v1/rollouts/(?!plan$|schema$)([^/]+)")),
    (RELEASE, re.compile(r"/api/v1/releases/([^/]+)/([^/]+)")),
    (EXPERIMENT, re.compile(r"/api/v1/experiments/([^/]+)")),
    (ACCOUNT, re.compile(r"/api/v1/accounts/([^/]+)")),
    (FREEZE, re.compile(r"/api/v1/freeze")),
)
"""Addresses of what has a state; the first that fits, also of what lies below it."""
_WRITES = {"POST", "PUT", "PATCH", "DELETE"}


class ValidatorApp:
    """Adds an ETag to JSON answers, sends none that the caller has, and hears If-Match."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(_PREFIX):
            await self._inner(scope, receive, send)
        elif scope["method"] == "GET":
            known = Headers(scope=scope).get("if-none-match", "")
            kind, _, whole = _named(scope["path"])
            kind = kind if whole else ""
            await self._inner(scope, receive, _Tagging(send, known, kind))
        elif scope["method"] in _WRITES and (wanted := _precondition(scope)) is not None:
            with expecting(wanted):
                await self._inner(scope, receive, send)
        else:
            await self._inner(scope, receive, send)


class _Tagging:
    """Holds an answer back until its tag is known."""

    def __init__(self, send: Send, known: str, kind: str) -> None:
        self._send = send
        self._known = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        self._kind = kind
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
        tag = f'"{_tag(self._kind, body)}"'
        start = {**self._start, "headers": [*self._start["headers"], (b"etag", tag.encode())]}
        if tag in self._known:
            kept = [pair for pair in start["headers"] if pair[0].lower() not in _DROPPED]
            start, body = {**start, "status": 304, "headers": kept}, b""
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


def hears_if_match(method: str, path: str) -> bool:
    """Say whether a request changes a thing that has a state."""
    return method in _WRITES and _named(path)[0] != ""


def _tag(kind: str, body: bytes) -> str:
    content = hashlib.sha256(body).hexdigest()[:32]
    if kind not in COUNTS:
        return content
    view = json.loads(body)
    if kind == PARAMETERS and isinstance(view, list):
        view = view[-1] if view else {}
    return f"{state_tag(kind, view)}-{content}" if isinstance(view, dict) else content


def _precondition(scope: Scope) -> Precondition | None:
    """Return what a write expects of the thing that it changes; None when it does not say."""
    given = Headers(scope=scope).getlist("if-match")
    kind, names, _ = _named(scope["path"])
    if not given or not kind:
        return None
    tags = {tag.strip() for line in given for tag in line.split(",")}
    strong = {tag.strip('"') for tag in tags if not tag.startswith("W/")}
    return Precondition(kind=kind, names=names, tags=frozenset(strong))


def _named(path: str) -> tuple[str, tuple[str, ...], bool]:
    """Return what a path is about, its names, and whether it is all of the path."""
    for kind, pattern in _THINGS:
        if (found := pattern.match(path)) is not None:
            return kind, found.groups(), found.end() == len(path)
    return "", (), False
