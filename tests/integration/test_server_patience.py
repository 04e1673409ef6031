"""Callers that are slow or never come to an end, against a real server."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from fleet_server.api.patience import HEAD_BYTES, PatientProtocol
from tests.integration.server_fleet import Engineer, Server, SimulatedDevice

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
    links = [
        socket.create_connection(("127.0.0.1", server.port), timeout=PatientProtocol.head_s + 60)
        for _ in range(200)
    ]
    for index, link in enumerate(links):
        link.sendall((b"", b"GET / HT", b"GET / HTTP/1.1\r\nA: b\r\n")[index % 3])
    assert server.ask("GET", "/api/v1/health").status == 200
    assert all(is_closed(link) for link in links)  # each within its own timeout
    for link in links:
        link.close()


def test_who_spoke_in_time_is_answered_however_late_the_process_reads() -> None:
    assert asyncio.run(_asked_while_busy()).startswith(b"HTTP/1.1 204")


async def _asked_while_busy() -> bytes:
    """Ask a server that does nothing else for longer than a caller has for its head."""
    loop, accepted = asyncio.get_running_loop(), asyncio.Event()
    config = uvicorn.Config(_nothing, lifespan="off")
    config.load()

    class Hasty(PatientProtocol):
        head_s = 0.2

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
            super().connection_made(transport)
            accepted.set()

    state = ServerState()
    listening = await loop.create_server(
        lambda: Hasty(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    with socket.create_connection(listening.sockets[0].getsockname(), timeout=30) as link:
        await accepted.wait()
        link.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(2 * Hasty.head_s)
        answer = await asyncio.to_thread(link.recv, 65536)
    listening.close()
    return answer


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_who_sends_too_much_reads_why_although_it_did_not_stop_sending(server: Server) -> None:
    whole = (16 << 20) * b"x"  # twice what a body may have, and more than sockets hold
    head = f"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: {len(whole)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as link:
        link.sendall(head.encode() + whole)
        assert link.recv(65536).startswith(b"HTTP/1.1 413")
        assert is_closed(link)


def test_headers_without_end_are_cut_off(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=90) as link:
        link.sendall(b"GET /api/v1/health HTTP/1.1\r\n")
        try:
            for _ in range(2 + 4 * HEAD_BYTES // 1024):
                link.sendall(b"X-" + b"a" * 512 + b": " + b"b" * 510 + b"\r\n")
        except OSError:
            return  # closed while it was still being sent to
        assert is_closed(link)


def test_a_connection_serves_many_requests_one_after_another(server: Server) -> None:
    request = b"GET /api/v1/alive HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=90) as link:
        for _ in range(5):
            link.sendall(request[:20])
            time.sleep(0.02)
            link.sendall(request[20:])
            answer = b""
            while b'{"status":"ok"}' not in answer:
                answer += link.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200")


@pytest.fixture(scope="module")
def device(server: Server, tmp_path_factory: pytest.TempPathFactory) -> SimulatedDevice:
    """A device whose answer the server knows by heart."""
    Engineer.create(server, tmp_path_factory.mktemp("engineer"))
    device = SimulatedDevice.enrol(server, "d1")
    for _ in range(2):
        device.ask("GET")
    return device


def heads(link: socket.socket, count: int) -> list[bytes]:
    """Read so many answers; returns their status lines and bodies."""
    found: list[bytes] = []
    buffer = b""
    while len(found) < count:
        head, there, rest = buffer.partition(b"\r\n\r\n")
        lengths = [
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        ]
        if there and len(rest) >= sum(lengths):
            found.append(head.partition(b"\r\n")[0] + b" " + rest[: sum(lengths)])
            buffer = rest[sum(lengths) :]
            continue
        got = link.recv(65536)
        if not got:
            break
        buffer += got
    return found


def test_polls_and_other_requests_sent_at_once_are_answered_in_order(
    server: Server, device: SimulatedDevice
) -> None:
    poll = f"GET {device.path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAuthorization: "
    good = f"{poll}TargetToken {device.token}\r\n".encode()
    bad = f"{poll}TargetToken x\r\n\r\n".encode()
    other = b"GET /api/v1/alive HTTP/1.1\r\nHost: x\r\n\r\n"
    with_body = good + b"Content-Length: 3\r\n\r\nabc"
    sent = [good + b"\r\n", other, with_body, bad, good + b"\r\n", other]
    with socket.create_connection(("127.0.0.1", server.port), timeout=90) as link:
        link.sendall(b"".join(sent))
        answers = heads(link, len(sent))
    words = [answer.split(b" ", 3)[1] for answer in answers]
    assert words == [b"200", b"200", b"200", b"401", b"200", b"200"]
    assert [b"_links" in answer for answer in answers] == [True, False, True, False, True, False]
    assert [b'"ok"' in answer for answer in answers] == [False, True, False, False, False, True]


@pytest.mark.parametrize("ending", [b" HTTP/1.0\r\n", b" HTTP/1.1\r\nConnection: close\r\n"])
def test_a_poll_that_closes_its_connection_is_answered(
    server: Server, device: SimulatedDevice, ending: bytes
) -> None:
    head = f"Host: 127.0.0.1:{server.port}\r\nAuthorization: TargetToken {device.token}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=90) as link:
        link.sendall(b"GET " + device.path.encode() + ending + head.encode())
        answer = b""
        while got := link.recv(65536):
            answer += got
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"_links" in answer


def test_who_sends_polls_and_reads_nothing_is_not_answered_without_end(
    server: Server, device: SimulatedDevice
) -> None:
    poll = f"GET {device.path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAuthorization: "
    request = f"{poll}TargetToken {device.token}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as link:
        link.settimeout(3)
        with pytest.raises((TimeoutError, ConnectionError)):
            link.sendall(request * (256 << 10))  # more than sockets hold on their way
        assert server.ask("GET", "/api/v1/health").status == 200
