"""Callers that are slow or never come to an end, against a real server."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from fleet_server.api.patience import HEAD_BYTES, HEAD_S
from tests.integration.server_fleet import Server

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("patience") / "data") as server:
        yield server


def is_closed(link: socket.socket) -> bool:
    try:
        while link.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def test_slow_heads_are_closed_and_others_are_served_meanwhile(server: Server) -> None:
    links = [socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in range(200)]
    for index, link in enumerate(links):
        link.sendall((b"", b"GET / HT", b"GET / HTTP/1.1\r\nA: b\r\n")[index % 3])
    assert server.ask("GET", "/api/v1/health").status == 200
    begun = time.monotonic()
    assert all(is_closed(link) for link in links)
    assert time.monotonic() - begun < HEAD_S + 20
    for link in links:
        link.close()


def test_headers_without_end_are_cut_off(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as link:
        link.sendall(b"GET /api/v1/health HTTP/1.1\r\n")
        try:
            for _ in range(2 + 4 * HEAD_BYTES // 1024):
                link.sendall(b"X-" + b"a" * 512 + b": " + b"b" * 510 + b"\r\n")
        except OSError:
            return  # closed while it was still being sent to
        assert is_closed(link)


def test_a_connection_serves_many_requests_one_after_another(server: Server) -> None:
    request = b"GET /api/v1/alive HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as link:
        for _ in range(5):
            link.sendall(request[:20])
            time.sleep(0.02)
            link.sendall(request[20:])
            answer = b""
            while b'{"status":"ok"}' not in answer:
                answer += link.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200")
