"""The end of a connection whose caller is still sending: it gets to read its answer.

A socket that is closed with unread bytes in it makes the kernel send a reset, and a caller that is
reset may lose the answer that it was just sent. So the server says that it has said everything,
drops what still comes for a moment, and closes then. Source: RFC 9112, section 9.6.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LINGER_S = 10.0


class LeavingTransport:
    """A connection as uvicorn's protocol uses it; `close` waits for a caller that is sending.

    Args:
        inner: The connection.
        is_sending: Whether a request has begun that is not whole.

    Attributes:
        leaves: The server has said everything; what comes is to be dropped.
    """

    def __init__(self, inner: asyncio.Transport, is_sending: Callable[[], bool]) -> None:
        self._inner = inner
        self._is_sending = is_sending
        self.leaves = False
        self.write = inner.write
        self.get_extra_info = inner.get_extra_info
        self.pause_reading, self.resume_reading = inner.pause_reading, inner.resume_reading
        self.set_protocol = inner.set_protocol

    def is_closing(self) -> bool:
        """Whether nothing more is sent."""
        return self.leaves or self._inner.is_closing()

    def close(self) -> None:
        """Close it, after a moment if the caller is sending; over TLS at once."""
        if self.is_closing():
            return
        if not self._is_sending() or not self._inner.can_write_eof():
            self._inner.close()
            return
        self.leaves = True
        self._inner.resume_reading()
        self._inner.write_eof()
        asyncio.get_running_loop().call_later(LINGER_S, self._inner.close)

    def close_now(self) -> None:
        """Close it at once."""
        self._inner.close()
