"""HTTP/1.1 over one connection: whole requests in, whole answers out. Knows no model.

A body is read by the kernel into memory of its own, which no later request touches: tensors may be
views of it. An answer leaves in one call. Faster than http.server by what that does per header.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

MAX_HEAD_BYTES = 1 << 16
MAX_BODY_BYTES = 64 << 20
MAX_FIELDS = 100
IDLE_TIMEOUT_S = 300
Parts: TypeAlias = Sequence[bytes | memoryview]
_END = b"\r\n\r\n"
_VERSIONS = frozenset({"HTTP/1.0", "HTTP/1.1"})
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 411: "Length Required"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request.

    Attributes:
        method: Such as "GET".
        path: As sent.
        fields: Headers, names in lower case.
        body: Its bytes; empty when there are none.
        keep: Whether the client wants to go on with this connection.
    """

    method: str
    path: str
    fields: dict[str, str]
    body: memoryview
    keep: bool


class RefusedRequestError(Exception):
    """What came is no request that is read here; nothing can follow on the connection.

    Attributes:
        status: HTTP status of the answer.
    """

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


def read_fields(lines: Sequence[bytes]) -> dict[str, str] | None:
    """Return headers by lower-case name; None if the lines are no headers.

    A length that is said twice is refused: two readers could disagree about where a body ends.
    """
    if len(lines) > MAX_FIELDS:
        return None
    fields: dict[str, str] = {}
    for line in lines:
        text = line.decode("latin-1")
        name, colon, value = text.partition(":")
        key = name.lower()
        said_twice = key in fields and key == "content-length"
        if not colon or not key or key != key.strip() or said_twice or "\n" in text:
            return None
        fields[key] = value.strip()
    return fields


def send_parts(end: socket.socket, parts: Parts) -> None:
    """Send all of it, in one call where the kernel takes it at once.

    Raises:
        OSError: The other side has gone, or takes nothing for as long as the socket waits.
    """
    left = [memoryview(p) for p in parts if len(p)]
    while left:
        sent = end.sendmsg(left)
        while left and sent >= len(left[0]):
            sent -= len(left.pop(0))
        if left:
            left[0] = left[0][sent:]


class Connection:
    """One client. Used by one thread; `close` by any."""

    def __init__(self, end: socket.socket) -> None:
        """Take over an accepted connection."""
        self._end = end
        end.setblocking(True)
        # Timeouts of the kernel: those of Python cost a poll before every call.
        limit = struct.pack("ll", IDLE_TIMEOUT_S, 0)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        if end.family == socket.AF_INET:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray(MAX_HEAD_BYTES)
        self._view = memoryview(self._buffer)
        self._filled = 0

    def receive(self) -> Asked | None:
        """Read the next request; None when the client has gone.

        Raises:
            RefusedRequestError: What came is none, or too large.
            OSError: The connection broke, or nothing came for 300 s.
        """
        end = self._head()
        if end < 0:
            return None
        first, *lines = bytes(self._view[:end]).split(b"\r\n")
        words = first.decode("latin-1").split()
        if len(words) != 3 or words[2] not in _VERSIONS:
            raise RefusedRequestError(400, "is no HTTP/1.1")
        fields = read_fields(lines)
        if fields is None:
            raise RefusedRequestError(400, "the headers are malformed or too many")
        method, path, version = words
        size = _body_size(method, fields)
        if fields.get("expect", "").lower() == "100-continue":
            self._end.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self._body(end + len(_END), size)
        if body is None:
            return None
        said = fields.get("connection", "").lower()
        keep = said != "close" and (version == "HTTP/1.1" or said == "keep-alive")
        return Asked(method, path, fields, body, keep)

    def answer(
        self,
        status: int,
        parts: Parts,
        headers: Mapping[str, str],
        *,
        keep: bool,
    ) -> None:
        """Send an answer.

        Args:
            status: HTTP status.
            parts: Of the body, in order.
            headers: Media type, and more.
            keep: Whether the client may send another request.

        Raises:
            OSError: The client has gone, or takes nothing for 300 s.
        """
        lines = [
            f"HTTP/1.1 {status} {_REASONS.get(status, 'Answer')}",
            f"Content-Length: {sum(len(p) for p in parts)}",
            *(f"{name}: {value}" for name, value in headers.items()),
            *(() if keep else ("Connection: close",)),
        ]
        head = "\r\n".join(lines).encode("latin-1") + _END
        send_parts(self._end, (head, *parts))

    def close(self) -> None:
        """Close it; a thread that reads from it gets an end."""
        self._end.close()

    def _head(self) -> int:
        """Return where the head ends in the buffer; -1 when the client has gone."""
        searched = 0
        while (end := self._buffer.find(_END, searched, self._filled)) < 0:
            searched = max(0, self._filled - len(_END) + 1)
            if self._filled == MAX_HEAD_BYTES:
                raise RefusedRequestError(400, "the headers are malformed or too long")
            came = self._end.recv_into(self._view[self._filled :])
            if not came:
                return -1
            self._filled += came
        return end

    def _body(self, start: int, size: int) -> memoryview | None:
        """Return the body that begins at `start` of the buffer, and keep what came after it."""
        body = np.empty(size, np.uint8).data
        have = min(self._filled - start, size)
        body[:have] = self._view[start : start + have]
        rest = self._filled - start - have
        self._buffer[:rest] = self._buffer[start + have : self._filled]
        self._filled = rest
        while have < size:
            came = self._end.recv_into(body[have:], 0, socket.MSG_WAITALL)
            if not came:
                return None
            have += came
        return body


def _body_size(method: str, fields: Mapping[str, str]) -> int:
    text = fields.get("content-length", "" if method == "POST" else "0")
    if not text.isascii() or not text.isdigit() or "transfer-encoding" in fields:
        raise RefusedRequestError(411, "Content-Length is needed")
    if int(text) > MAX_BODY_BYTES:
        raise RefusedRequestError(413, f"a body has at most {MAX_BODY_BYTES} bytes")
    return int(text)
