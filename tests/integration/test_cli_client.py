"""The client against servers that misbehave, over real sockets."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NoReturn

import pytest

from edgekit import codec
from edgekit.client import connection
from edgekit.client.http import FleetClient
from edgekit.client.wire.server import Health
from edgekit.errors import NetworkError, RefusedError, StorageError, UsageError

pytestmark = pytest.mark.integration

HEALTH = codec.encode(Health(status="ok", version="0"))
Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers by a function of the test; remembers what it was asked."""

    protocol_version = "HTTP/1.1"
    server: Any

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, dict(self.headers), body))
        self.server.answer(self)

    do_GET = do_PUT = do_HEAD = do_POST = handle_any  # noqa: N815 (the parent's words)

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the parent's word)
        """Say nothing."""


class Listener(ThreadingHTTPServer):
    """Holds what the handlers of one test share."""

    answer: Answer

    def __init__(self, *place: Any) -> None:
        super().__init__(*place)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []


class Misbehaving:
    """A server whose answers a test chooses."""

    def __init__(self) -> None:
        self._server = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def answers(self, answer: Answer) -> None:
        self._server.answer = answer

    @property
    def asked(self) -> list[tuple[str, str, dict[str, str], bytes]]:
        return self._server.asked

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Misbehaving]:
    made = Misbehaving()
    yield made
    made.close()


@pytest.fixture
def client(server: Misbehaving) -> Iterator[FleetClient]:
    with FleetClient(server.url, "secret") as made:
        yield made


def test_the_token_is_sent_to_the_server(server, client):
    server.answers(lambda h: h.say(200, HEALTH))
    assert client.health().status == "ok"
    assert server.asked[0][2]["Authorization"] == "Bearer secret"


def test_nobody_there_is_one_line():
    with (
        FleetClient("http://127.0.0.1:9", "t") as client,
        pytest.raises(NetworkError, match=r"^http://127\.0\.0\.1:9: nobody answers there; "),
    ):
        client.health()


def test_an_unknown_name_asks_to_check_the_address(monkeypatch):
    def unknown(*_: object, **__: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with (
        FleetClient("http://fleet.invalid", "t") as client,
        pytest.raises(
            NetworkError, match=r"fleet\.invalid: the name is unknown; check the address"
        ),
    ):
        client.health()


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>hello</html>", b"[]", b'{"status":1}'],
    ids=["none", "html", "list", "type"],
)
def test_an_answer_that_is_none_is_said(server, client, body):
    server.answers(lambda h: h.say(200, body))
    with pytest.raises(NetworkError, match="something else than expected"):
        client.health()


def test_a_redirect_is_not_followed_because_the_token_would_go_along(server, client):
    server.answers(lambda h: h.say(302, Location=f"{server.url}/elsewhere"))
    with pytest.raises(NetworkError, match="302"):
        client.health()
    assert [path for _, path, *_ in server.asked] == ["/api/v1/health"]


def test_an_answer_of_any_size_is_not_read(server, client, monkeypatch):
    monkeypatch.setattr(connection, "MAX_ANSWER_BYTES", 1 << 20)
    server.answers(lambda h: h.say(200, b" " * (1 << 20) + HEALTH))
    with pytest.raises(NetworkError, match="more than 1 MiB"):
        client.health()


def test_a_server_that_never_answers_is_given_up(server, client, monkeypatch):
    monkeypatch.setattr(connection, "READ_TIMEOUT_S", 0.1)
    done = threading.Event()
    server.answers(lambda h: done.wait(30) and None)
    try:
        with pytest.raises(NetworkError, match="does not answer in time"):
            client.health()
    finally:
        done.set()


def test_a_connection_that_the_server_closed_meanwhile_is_opened_again(server, client):
    def closing_once(handler: Handler) -> None:
        if len(server.asked) == 2:
            handler.close_connection = True
            return
        handler.say(200, HEALTH)

    server.answers(closing_once)
    client.health()
    assert client.health().status == "ok"


def test_what_changes_something_is_not_sent_twice(server, client):
    def close(handler: Handler) -> None:
        handler.close_connection = True

    server.answers(close)
    with pytest.raises(NetworkError, match="the connection broke"):
        client.pause("r1")
    assert len(server.asked) == 1


def test_a_blob_is_streamed_once(server, client, tmp_path):
    file = tmp_path / "it.bundle"
    file.write_bytes(b"x" * 300_000)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    server.answers(lambda h: h.say(404 if h.command == "HEAD" else 204))
    assert client.upload_blob(file, sha256=digest, size=300_000) is True
    assert server.asked[-1][0] == "PUT"
    assert hashlib.sha256(server.asked[-1][3]).hexdigest() == digest
    server.answers(lambda h: h.say(200))
    assert client.upload_blob(file, sha256=digest, size=300_000) is False


def test_a_file_that_is_gone_is_an_error_of_storage(server, client, tmp_path):
    server.answers(lambda h: h.say(404))
    with pytest.raises(StorageError, match="No such file"):
        client.upload_blob(tmp_path / "absent", sha256="ab" * 32, size=1)


def test_names_are_escaped_in_addresses(server, client):
    server.answers(lambda h: h.say(404))
    with pytest.raises(RefusedError):
        client.device("../releases?x=1")
    assert server.asked[0][1] == "/api/v1/devices/..%2Freleases%3Fx%3D1"


def test_devices_come_page_by_page(server, client):
    pages = {"": ["a", "b"], "b": ["c"], "c": []}

    def page(handler: Handler) -> None:
        after = handler.path.partition("after=")[2].partition("&")[0]
        found = [{"id": name, "enrolled_at": "2026-11-21T12:00:00Z"} for name in pages[after]]
        handler.say(200, codec.encode(found))

    server.answers(page)
    assert [device.id for device in client.devices("site=a")] == ["a", "b", "c"]
    assert all("selector=site%3Da" in path for _, path, *_ in server.asked)


def test_the_environment_names_server_and_token(tmp_path, server):
    server.answers(lambda h: h.say(200, HEALTH))
    file = tmp_path / "token"
    file.write_text("from a file\n".replace(" ", "-"))
    given = {"EDGEKIT_SERVER": server.url, "EDGEKIT_TOKEN_FILE": str(file)}
    for environment, token in (
        (given, "from-a-file"),
        ({**given, "EDGEKIT_TOKEN": "itself"}, "itself"),
    ):
        with FleetClient.from_environment(environment) as client:
            client.health()
        assert server.asked[-1][2]["Authorization"] == f"Bearer {token}"
    with pytest.raises(UsageError, match="EDGEKIT_SERVER"):
        FleetClient.from_environment({})
