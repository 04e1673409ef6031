"""Load for servers: keep-alive connections over raw sockets, from a process of its own.

One request at a time on each connection, so that the client costs as little as it can. Holds no
question.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edgekit import codec
from edgekit.demo.processes import free_port
from edgekit.errors import NetworkError

START_TIMEOUT_S = 60.0
MARK = b"@SEQ@####"
"""Stands in a request for a number that grows with each one; nine digits."""
FIRST = 100_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom to ask, and with which bytes.

    Attributes:
        ports: On the loopback address; connections are spread over them.
        requests: Whole requests; connection i sends those at i, i + connections, ... in turn.
        connections: How many at once.
        first: Value of the first number that replaces MARK.
    """

    ports: tuple[int, ...]
    requests: tuple[str, ...]
    connections: int = 64
    first: int = FIRST


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What came of it.

    Attributes:
        rate: Answers a second.
        p50_ms: Median time until an answer was whole.
        p99_ms: 99th percentile of it.
        answers: How many.
        refused: Of these, other than 200.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    answers: int
    refused: int


def load(target: Target, seconds: float, *, least: int = 1) -> Load:
    """Ask from a process of its own, for a while and until there were `least` answers."""
    command = [sys.executable, "-m", "benchmarks.load", str(seconds), str(least)]
    done = subprocess.run(
        command, input=codec.encode(target), capture_output=True, check=True, timeout=seconds + 300
    )
    return codec.decode(done.stdout, Load, where="load")


class _Link:
    """One connection and what it waits for."""

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._requests = requests
        self._next = 0
        self._buffer = b""
        self.sent_at = 0.0
        self.refused = 0

    def send(self, number: int) -> None:
        request = self._requests[self._next % len(self._requests)]
        self._next += 1
        self.sent_at = time.perf_counter()
        self.socket.sendall(request.replace(MARK, b"%09d" % number))

    def read(self) -> bool:
        """Read what is there; say whether an answer is whole."""
        got = self.socket.recv(65536)
        if not got:
            raise NetworkError("the server closed a connection under load")
        self._buffer += got
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        at = head.lower().find(b"content-length:")
        if at < 0 or len(rest) < int(head[at + 15 :].split(b"\r\n", 1)[0]):
            return False
        self.refused += not head.startswith(b"HTTP/1.1 200")
        self._buffer = b""
        return True


def client(target: Target, seconds: float, *, least: int = 1) -> Load:
    """Keep every connection busy for a while, and until there were `least` answers, at least 1."""
    selector = selectors.EpollSelector()
    requests = [request.encode() for request in target.requests]
    number = target.first
    times: list[float] = []
    links = []
    for index in range(target.connections):
        mine = requests[index :: target.connections] or requests[:1]
        link = _Link(target.ports[index % len(target.ports)], mine)
        selector.register(link.socket, selectors.EVENT_READ, link)
        links.append(link)
        link.send(number)
        number += 1
    start = time.perf_counter()
    while time.perf_counter() < start + seconds or len(times) < max(least, 1):
        for key, _ in selector.select(timeout=5.0):
            link = key.data
            if link.read():
                times.append(time.perf_counter() - link.sent_at)
                link.send(number)
                number += 1
    elapsed = time.perf_counter() - start
    for link in links:
        link.socket.close()
    times.sort()
    return Load(
        rate=len(times) / elapsed,
        p50_ms=1000 * times[len(times) // 2],
        p99_ms=1000 * times[int(len(times) * 0.99)],
        answers=len(times),
        refused=sum(link.refused for link in links),
    )


@contextmanager
def process(
    command: Sequence[str], port: int, *, given: str = "", env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; it listens when the block begins."""
    running = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=dict(env) if env else None,
    )
    try:
        if running.stdin:
            running.stdin.write(given.encode())
            running.stdin.close()
        _wait_for(port, running)
        yield running
    finally:
        running.terminate()
        running.wait(timeout=30)


def _wait_for(port: int, running: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until and running.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise NetworkError("a server of the benchmark did not start", where=f"127.0.0.1:{port}")


@contextmanager
def bare_app(answer: bytes) -> Iterator[int]:
    """Run uvicorn with an ASGI function that reads a request and sends the same bytes."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.load", "bare", str(port)]
    with process(command, port, given=json.dumps(answer.decode())):
        yield port


def serve_bare(port: int, body: bytes) -> None:
    """Answer every request with the same bytes, as fast as uvicorn can."""
    import uvicorn

    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    start = {"type": "http.response.start", "status": 200, "headers": headers}
    answer = {"type": "http.response.body", "body": body}

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 (ASGI)
        if scope["method"] != "GET":
            while (await receive()).get("more_body"):
                pass
        await send(start)
        await send(answer)

    uvicorn.run(
        app,
        port=port,
        http="httptools",
        loop="uvloop",
        lifespan="off",
        access_log=False,
        log_level="error",
        server_header=False,
    )


def _main() -> None:
    if sys.argv[1] == "bare":
        serve_bare(int(sys.argv[2]), json.loads(sys.stdin.read()).encode())
        return
    target = codec.decode(sys.stdin.buffer.read(), Target, where="standard input")
    sys.stdout.buffer.write(
        codec.encode(client(target, float(sys.argv[1]), least=int(sys.argv[2])))
    )


if __name__ == "__main__":
    _main()
