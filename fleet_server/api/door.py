"""The outermost layer: who comes too often is told when to come again, before anything is read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgekit.errors import StorageError
from fleet_server.api.answering import Answering
from fleet_server.api.callers import PROBES, CallerKey, Doorkeeper
from fleet_server.api.overload import Overload
from fleet_server.api.poll import PollApp
from fleet_server.api.problems import answer_error
from fleet_server.api.proxy import strip_root
from fleet_server.services.accounts import AccountService
from fleet_server.services.config import Settings
from fleet_server.services.errors import TooManyError
from fleet_server.services.records.accounts import AuditRecord

logger = logging.getLogger(__name__)

WRONG_TOKENS = "wrong tokens"
"""Action in the audit log of an address whose wrong tokens begin to be answered 429."""


class DoorApp:
    """Asks the doorkeeper about every request; polls known by heart ask by themselves.

    Attributes:
        at_once: Answers polls that are known by heart, for `fleet_server.api.patience`.
        overload: Says when there is too much to do, likewise.
    """

    def __init__(
        self,
        inner: PollApp,
        *,
        doorkeeper: Doorkeeper,
        overload: Overload,
        accounts: AccountService,
        settings: Settings,
        clock: Callable[[], datetime],
    ) -> None:
        self.at_once = inner.at_once
        self.overload = overload
        self._inner: ASGIApp = inner
        self._doorkeeper = doorkeeper
        self._accounts = accounts
        self._settings = settings
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or tell it to come again."""
        if scope["type"] == "http" and self._settings.root_path:
            scope["path"] = strip_root(scope["path"], self._settings.root_path)
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._inner(scope, receive, send)
            return
        try:
            caller = self._doorkeeper.admit(scope)
        except TooManyError as error:
            marked = Answering.of(scope, send, behind_proxy=self._settings.behind_proxy)
            await answer_error(Request(scope), error)(scope, receive, marked)
            return
        await self._inner(scope, receive, self._learning(caller, send))

    def _learning(self, caller: CallerKey, send: Send) -> Send:
        async def learn(message: Message) -> None:
            if message["type"] == "http.response.start":
                begins = self._doorkeeper.answered(caller, message["status"])
                if begins:
                    await run_in_threadpool(self._audit, caller.address)
            await send(message)

        return learn

    def _audit(self, address: str) -> None:
        """Write down once a burst that an address shows wrong tokens."""
        line = AuditRecord(
            at=self._clock(),
            request="",
            account="",
            token="",
            address=address,
            action=WRONG_TOKENS,
            status=429,
        )
        try:
            self._accounts.record(line)
        except StorageError as error:
            logger.error("audit failed", extra={"fields": {"error": str(error)}})  # noqa: TRY400 (one clear line)
