"""One HTTP connection of a program to the worker of a model, over its Unix socket.

A request leaves in one call, straight from the memory of its tensor, and the answer is read into
memory of its own: `http.client` takes longer for both than a small model for its work.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from device_agent.worker.connection import Parts, read_fields, send_parts

TIMEOUT_S = 60
SEND_BUFFER_BYTES = 4 << 20
MAX_HEAD_BYTES = 1 << 16
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Said:
    """An answer.

    Attributes:
        status: HTTP status.
        fields: Headers, names in lower case.
        body: Its bytes.
    """

    status: int
    fields: dict[str, str]
    body: memoryview


class Asking:
    """A connection to `infer.sock` of a model's folder. Used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        """Connect through /proc, because the socket's own path may exceed 107 bytes.

        Raises:
            OSError: Nobody listens.
        """
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._buffer = bytearray(MAX_HEAD_BYTES)
        self.open = True
        limit = struct.pack("ll", TIMEOUT_S, 0)
        try:
            self._end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            self._end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            self._end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            self._end.connect(f"/proc/self/fd/{handle}/infer.sock")
        except OSError:
            self._end.close()
            raise
        finally:
            os.close(handle)

    def close(self) -> None:
        """Close it."""
        self.open = False
        self._end.close()

    def ask(self, method: str, path: str, parts: Parts = (), headers: Sequence[str] = ()) -> Said:
        """Send one request and read its answer. After an error the connection is closed.

        Args:
            method: Such as "GET".
            path: Such as "/v2".
            parts: Of the body, in order.
            headers: Further lines of the head.

        Raises:
            OSError: The worker has gone, or says nothing for a minute.
        """
        try:
            self._send(method, path, parts, headers)
            said = self._receive()
        except BaseException:
            self.close()
            raise
        if said.fields.get("connection", "").lower() == "close":
            self.close()
        return said

    def _send(self, method: str, path: str, parts: Parts, headers: Sequence[str]) -> None:
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: localhost",
            f"Content-Length: {sum(len(p) for p in parts)}",
            *headers,
        ]
        head = "\r\n".join(lines).encode("latin-1") + _END
        send_parts(self._end, (head, *parts))

    def _receive(self) -> Said:
        view, filled, end = memoryview(self._buffer), 0, -1
        while end < 0:
            came = self._end.recv_into(view[filled:])
            if not came:
                raise ConnectionResetError("the worker closed the connection")
            filled += came
            end = self._buffer.find(_END, 0, filled)
        first, *lines = bytes(view[:end]).split(b"\r\n")
        fields, words = read_fields(lines), first.split(b" ", 2)
        length = "" if fields is None else fields.get("content-length", "")
        if fields is None or len(words) < 2 or not words[1].isdigit() or not length.isdigit():
            raise ConnectionAbortedError("the worker speaks no HTTP/1.1")
        body = np.empty(int(length), np.uint8).data
        start = end + len(_END)
        have = min(filled - start, len(body))
        body[:have] = view[start : start + have]
        while have < len(body):
            came = self._end.recv_into(body[have:], 0, socket.MSG_WAITALL)
            if not came:
                raise ConnectionResetError("the worker closed the connection")
            have += came
        return Said(int(words[1]), fields, body)
