"""One connection: impatient with slow heads, and quick with polls that are known by heart.

uvicorn bounds the time between requests, not that within one: a caller that sends a byte a minute
would keep a connection for ever. Bodies have their own limits where they are read.

Who comes when there is too much to do is told so here, before that costs anything
(`fleet_server.api.overload`).

A poll whose answer is ready is answered as soon as its head is here. The task and the messages that
ASGI needs for a request cost more than everything else about it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fleet_server.api.leaving import LeavingTransport
from fleet_server.api.overload import Overload

_LOOK_AGAIN_S = 0.2
HEAD_BYTES = 64 << 10
_KNOWN = b"content-type: application/json\r\ncontent-length: "


class _AtOnce(Protocol):
    """What an application may offer beside ASGI; see `fleet_server.api.poll.PollApp.at_once`."""

    def __call__(
        self, url: bytes, headers: Iterable[tuple[bytes, bytes]], *, scheme: str, peer: str
    ) -> bytes | None: ...


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with an end to its patience. Costs a request nothing that comes whole.

    Attributes:
        head_s: Longest time until the head of a request is here.
    """

    head_s = 10.0
    _at_once: _AtOnce | None = None
    _overload: Overload | None = None
    _is_answered = False
    _head_is_open = True
    _head_bytes = 0
    _is_sending = False
    _closing: asyncio.TimerHandle | None = None
    _leaving: LeavingTransport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to wait for the first request."""
        self._leaving = LeavingTransport(transport, lambda: self._is_sending)
        super().connection_made(cast("asyncio.Transport", self._leaving))
        self._at_once = getattr(self.app, "at_once", None)
        self._overload = getattr(self.app, "overload", None)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and look whether a head is still being waited for."""
        if self._leaving.leaves:
            return
        super().data_received(data)
        if not self._head_is_open:
            if self._closing is not None:
                self._stop()
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            self._close()
        elif self._closing is None:
            self._wait()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._head_is_open = self._is_sending = True
        self._head_bytes = 0
        self._is_answered = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its headers are here."""
        self._head_is_open = False
        if (body := self._known_answer()) is not None:
            head = [b"HTTP/1.1 200 OK\r\n"]
            for name, value in self.server_state.default_headers:
                head += (name, b": ", value, b"\r\n")
            head += (_KNOWN, b"%d\r\n\r\n" % len(body), body)
            self._answer(b"".join(head))
        elif (refusal := self._refusal()) is not None:
            self._answer(refusal)
            if b"connection: close" in refusal or not self.parser.should_keep_alive():
                self.transport.close()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body; one of an answered request is dropped."""
        if not self._is_answered:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._is_sending = False
        if not self._is_answered:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """The application has answered: so fast it goes at present."""
        if self._overload is not None:
            self._overload.appointments.answered()
        super().on_response_complete()

    def _answer(self, answer: bytes) -> None:
        self._is_answered = True
        self.transport.write(answer)
        super().on_response_complete()

    def _refusal(self) -> bytes | None:
        """Return what is sent instead of an answer when there is too much to do."""
        if (
            self._overload is None
            or not getattr(self.cycle, "response_complete", True)
            or self.flow.write_paused
            or self.transport.is_closing()
        ):
            return None
        return self._overload.refusal(
            self.url, requests=len(self.tasks), connections=len(self.connections)
        )

    def _known_answer(self) -> bytes | None:
        """Return what can be sent at once: nothing before it waits, and the caller reads."""
        if (
            self._at_once is None
            or self.parser.get_method() != b"GET"
            or not getattr(self.cycle, "response_complete", True)
            or self.flow.write_paused
            or self.expect_100_continue
            or self.transport.is_closing()
            or not self.parser.should_keep_alive()
            or self.parser.should_upgrade()
            or self.parser.get_http_version() != "1.1"
        ):
            return None
        peer = self.client[0] if self.client else ""
        return self._at_once(self.url, self.headers, scheme=self.scheme or "http", peer=peer)

    def _wait(self) -> None:
        self._closing = self.loop.call_later(self.head_s, self._look_again)

    def _look_again(self) -> None:
        """The time is up, but perhaps it was this process that had none to read what is here."""
        self._closing = self.loop.call_later(_LOOK_AGAIN_S, self._close)

    def _stop(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None

    def _close(self) -> None:
        self._stop()
        self._leaving.close_now()
