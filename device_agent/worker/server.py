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
from typing import Any, TypeAlias

import edgekit
from device_agent.worker.connection import Asked, Connection, Parts, RefusedRequestError
from device_agent.worker.engine import Engine
from device_agent.worker.oip import (
    HEADER_LENGTH,
    model_config,
    model_metadata,
    parse_request,
    render_response,
    server_metadata,
)
from edgekit import codec
from edgekit.errors import DataError, EdgeKitError, FormatError

_FIELD = HEADER_LENGTH.lower()
_JSON = {"Content-Type": "application/json"}
_Said: TypeAlias = tuple[int, Parts, dict[str, str]]


class InferenceServer:
    """Answers on some listening sockets, a thread a connection."""

    def __init__(self, engine: Engine, listeners: Sequence[socket.socket]) -> None:
        self.engine = engine
        self._model = f"/v2/models/{engine.manifest.model}"
        self._versioned = f"{self._model}/versions/{engine.manifest.version}"
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
        with self._lock:
            self._connections.add(connection)
        threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, end: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the client has gone
            self._serve_one(Connection(end))
        with self._lock:
            self._connections.discard(end)
        with contextlib.suppress(OSError):
            end.close()

    def _serve_one(self, connection: Connection) -> None:
        try:
            while (asked := connection.receive()) is not None:
                said = self._answer(asked)
                keep = asked.keep and self.accepting
                connection.answer(*said, keep=keep)
                if not keep:
                    return
        except RefusedRequestError as error:
            connection.answer(*_json(error.status, {"error": str(error)}), keep=False)

    def _answer(self, asked: Asked) -> _Said:
        path = asked.path.rstrip("/")
        if path.startswith(self._versioned):
            path = self._model + path.removeprefix(self._versioned)
        if asked.method == "GET":
            return self._told(path)
        if asked.method != "POST" or path != f"{self._model}/infer":
            return _json(404, {"error": "there is no such address here"})
        try:
            return self._infer(asked)
        except (DataError, FormatError) as error:
            return _json(400, {"error": str(error)})
        except EdgeKitError as error:
            return _json(500, {"error": str(error)})

    def _told(self, path: str) -> _Said:
        manifest, model = self.engine.manifest, self._model
        if path in {"/v2/health/live", "/v2/health/ready", f"{model}/ready"}:
            return _json(200, {})
        if path == model:
            return _json(200, model_metadata(manifest, self.engine.settings))
        if path == f"{model}/config":
            return _json(200, model_config(manifest))
        if path == "/v2":
            return _json(200, server_metadata(edgekit.__version__))
        return _json(404, {"error": "there is no such address here"})

    def _infer(self, asked: Asked) -> _Said:
        length = asked.fields.get(_FIELD)
        if length is not None and not length.isdigit():
            raise FormatError("is no number", where=HEADER_LENGTH)
        try:
            head = int(length) if length else None
            request = parse_request(asked.body, head, self.engine.manifest)
        except EdgeKitError:
            self.engine.refused()
            raise
        if request.raw is not None:
            answer = self.engine.answer_raw(request.raw)
        else:
            answer = self.engine.answer(request.tensors)
        if request.id:
            self.engine.remember(request.id, answer)
        parts, head = render_response(request, answer, self.engine.manifest)
        return 200, parts, _JSON if head is None else _binary(head)


def _binary(head_length: int) -> dict[str, str]:
    return {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(head_length)}


def _json(status: int, value: dict[str, Any]) -> _Said:
    return status, [codec.encode(value)], _JSON
