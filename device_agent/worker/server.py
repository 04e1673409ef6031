"""Open Inference Protocol v2 over listening sockets that the agent owns.

The sockets are shared with other workers: whoever accepts a connection answers it. A worker that
is paused accepts no more, finishes what is open and asks clients to connect again, so that a swap
loses no answer.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from io import BufferedIOBase
from typing import Any

import edgekit
from device_agent.worker.engine import Engine
from device_agent.worker.oip import (
    HEADER_LENGTH,
    model_metadata,
    parse_request,
    render_response,
)
from edgekit import codec
from edgekit.errors import DataError, EdgeKitError, FormatError

MAX_BODY_BYTES = 64 << 20
IDLE_TIMEOUT_S = 300.0
MAX_FIELDS = 100
MAX_LINE_BYTES = 1 << 16


class InferenceServer:
    """Answers on some listening sockets, a thread a connection."""

    def __init__(self, engine: Engine, listeners: Sequence[socket.socket]) -> None:
        self.engine = engine
        self._listeners = list(listeners)
        for listener in self._listeners:
            listener.setblocking(False)
        self._accepting = threading.Event()
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._thread: threading.Thread | None = None

    @property
    def accepting(self) -> bool:
        """Whether this worker answers new connections, and keeps open ones open."""
        return self._accepting.is_set()

    def serve(self) -> None:
        """Begin, or go on after a pause."""
        if self.accepting:
            return
        self._accepting.set()
        self._thread = threading.Thread(target=self._accept, name="accept", daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """Accept no more; open connections get their answers and are then closed."""
        self._accepting.clear()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def drain(self, *, wait_s: float) -> None:
        """Pause, and wait until no connection is open; after `wait_s` close the rest."""
        self.pause()
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline and self._open_connections():
            time.sleep(0.02)
        for connection in self._open_connections():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _open_connections(self) -> list[socket.socket]:
        with self._lock:
            return list(self._connections)

    def _accept(self) -> None:
        while self.accepting:
            ready, _, _ = select.select(self._listeners, [], [], 0.05)
            for listener in ready:
                self._take(listener)

    def _take(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # another worker was faster, or the client has gone
        connection.settimeout(IDLE_TIMEOUT_S)
        if connection.family == socket.AF_INET:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._connections.add(connection)
        threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            _Handler(connection, ("local", 0), self)  # type: ignore[arg-type]
        except OSError:
            pass  # the client has gone
        finally:
            with self._lock:
                self._connections.discard(connection)
            with contextlib.suppress(OSError):
                connection.close()


def read_fields(source: BufferedIOBase) -> dict[str, str] | None:
    """Read header lines up to the empty one, names in lower case; None if they are no headers.

    A length that is said twice is refused: two readers could disagree about where a body ends.
    """
    fields: dict[str, str] = {}
    for _ in range(MAX_FIELDS):
        line = source.readline(MAX_LINE_BYTES)
        if line in {b"\r\n", b"\n"}:
            return fields
        name, colon, value = line.partition(b":")
        key = name.decode("latin-1").lower()
        said_twice = key in fields and key == "content-length"
        if not colon or not line.endswith(b"\n") or key != key.strip() or said_twice:
            return None
        fields[key] = value.decode("latin-1").strip()
    return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "edgekit-agent"
    sys_version = ""
    wbufsize = -1
    server: InferenceServer  # type: ignore[assignment]
    fields: dict[str, str]
    raw_requestline: bytes

    def parse_request(self) -> bool:
        """Read request line and headers; the parent's way through email takes ten times as long."""
        self.close_connection = True
        self.command = ""
        words = self.raw_requestline.decode("latin-1").split()
        if len(words) != 3 or words[2] not in {"HTTP/1.0", "HTTP/1.1"}:
            self._json(400, {"error": "is no HTTP/1.1"})
            return False
        self.command, self.path, self.request_version = words
        fields = read_fields(self.rfile)
        if fields is None:
            self._json(400, {"error": "the headers are malformed or too long"})
            return False
        self.fields = fields
        asked = fields.get("connection", "").lower()
        self.close_connection = asked == "close" or (words[2] == "HTTP/1.0" and not asked)
        if fields.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.wfile.flush()
        return True

    def do_GET(self) -> None:
        manifest = self.server.engine.manifest
        match self.path.rstrip("/"):
            case "/v2":
                self._json(200, {"name": "edgekit", "version": edgekit.__version__})
            case "/v2/health/live" | "/v2/health/ready":
                self._json(200, {})
            case path if path == f"/v2/models/{manifest.model}":
                self._json(200, model_metadata(manifest))
            case path if path == f"/v2/models/{manifest.model}/ready":
                self._json(200, {})
            case _:
                self._json(404, {"error": "there is no such address here"})

    def do_POST(self) -> None:
        body = self._body()
        if body is None:
            return None
        if self.path != f"/v2/models/{self.server.engine.manifest.model}/infer":
            return self._json(404, {"error": "there is no such model here"})
        try:
            data, head = self._infer(body)
        except (DataError, FormatError) as error:
            return self._json(400, {"error": str(error)})
        except EdgeKitError as error:
            return self._json(500, {"error": str(error)})
        return self._send(200, data, {} if head is None else {HEADER_LENGTH: str(head)})

    def _infer(self, body: bytes) -> tuple[bytes, int | None]:
        engine = self.server.engine
        length = self.fields.get(HEADER_LENGTH.lower())
        if length is not None and not length.isdigit():
            raise FormatError("is no number", where=HEADER_LENGTH)
        request = parse_request(body, int(length) if length else None, engine.manifest)
        if request.raw is not None:
            answer = engine.answer_raw(request.raw)
        else:
            answer = engine.answer(request.tensors)
        return render_response(request, answer, engine.manifest)

    def _body(self) -> bytes | None:
        length = self.fields.get("content-length", "")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            self.close_connection = True
            self._json(413 if length.isdigit() else 411, {"error": "Content-Length is needed"})
            return None
        return self.rfile.read(int(length))

    def _json(self, status: int, value: dict[str, Any]) -> None:
        self._send(status, codec.encode(value), {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        if not self.server.accepting:
            self.close_connection = True
        self.send_response_only(status)
        kind = "application/octet-stream" if headers else "application/json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's name)
        """Write nothing: telemetry counts what happens here."""
