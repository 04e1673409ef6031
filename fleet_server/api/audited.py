"""Writes who asked for what into the audit log before it is done, and the answer after it.

The first line is durable before anything happens, so that a kill in between hides nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fleet_server.domain.access import SAFE_METHODS
from fleet_server.services.accounts import AccountService
from fleet_server.services.records.accounts import AuditRecord, Caller

_LINE = "audit_line"
_MAX_ACTION = 1024
_MAX_NAME = 128


def record_request(
    accounts: AccountService, request: Request, caller: Caller, *, address: str, at: datetime
) -> None:
    """Write down that a caller asks for a change; reads are not written down."""
    if request.method in SAFE_METHODS:
        return
    line = AuditRecord(
        at=at,
        request=getattr(request.state, "request_id", ""),
        account=caller.account,
        token=caller.token,
        address=address,
        action=_printable(f"{request.method} {request.url.path}")[:_MAX_ACTION],
    )
    accounts.record(line)
    setattr(request.state, _LINE, line)


def record_login(
    accounts: AccountService, request: Request, name: str, *, address: str, at: datetime
) -> None:
    """Write down that somebody gives a name and a password; never the password."""
    line = AuditRecord(
        at=at,
        request=getattr(request.state, "request_id", ""),
        account=_printable(name)[:_MAX_NAME],
        token="",
        address=address,
        action=f"{request.method} {request.url.path}",
    )
    accounts.record(line)
    setattr(request.state, _LINE, line)


class AuditApp:
    """Writes the status of each answer that follows a recorded request."""

    def __init__(
        self, inner: ASGIApp, accounts: AccountService, *, clock: Callable[[], datetime]
    ) -> None:
        self._inner = inner
        self._accounts = accounts
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] in SAFE_METHODS:
            await self._inner(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            line = scope.get("state", {}).pop(_LINE, None)
            if line is not None and message["type"] == "http.response.start":
                done = replace(line, at=self._clock(), status=message["status"])
                await run_in_threadpool(self._accounts.record, done)
            await send(message)

        await self._inner(scope, receive, answer)


def _printable(text: str) -> str:
    """Return a path that any database stores and any terminal shows."""
    return "".join(c if c.isprintable() and c.isascii() else "?" for c in text)
