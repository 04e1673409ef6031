"""A connection whose request line and headers do not come in time, or never end, is closed.

uvicorn bounds the time between requests, not that within one: a caller that sends a byte a minute
would keep a connection for ever. Bodies have their own limits where they are read.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S = 10.0
HEAD_BYTES = 64 << 10


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with an end to its patience. Costs a request nothing that comes whole."""

    _head_is_open = True
    _head_bytes = 0
    _closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and look whether a head is still being waited for."""
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
        self._head_is_open = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its headers are here."""
        self._head_is_open = False
        super().on_headers_complete()

    def _wait(self) -> None:
        self._closing = self.loop.call_later(HEAD_S, self._close)

    def _stop(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None

    def _close(self) -> None:
        self._stop()
        if not self.transport.is_closing():
            self.transport.close()
