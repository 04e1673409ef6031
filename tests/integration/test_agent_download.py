"""Downloads from servers that behave badly, over real sockets."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from device_agent.download import check_room, download
from device_agent.transport import BusyError, GoneError, StatusError, Transport
from edgekit.errors import NetworkError, StorageError, TrustError

pytestmark = pytest.mark.integration
DATA = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(DATA).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: list[str]

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        match self.path:
            case "/good":
                self._send(206 if wanted else 200, DATA[start:])
            case "/no-ranges":
                self._send(200, DATA)
            case "/no-such-range":
                self._send(416 if wanted else 200, b"" if wanted else DATA)
            case "/endless":
                self._send(200, DATA * 50)
            case "/other":
                self._send(200, DATA[:-1] + b"x")
            case "/short":
                self._send(200, DATA[:5000], length=len(DATA))
            case "/busy":
                self._send(503, b"", retry="9")
            case "/elsewhere":
                self._send(302, b"", location="http://127.0.0.1:9/good")
            case _:
                self._send(404, b"")

    def _send(
        self, status: int, body: bytes, *, length: int = -1, retry: str = "", location: str = ""
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length < 0 else length))
        if retry:
            self.send_header("Retry-After", retry)
        if location:
            self.send_header("Location", location)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def url(asked: list[str]) -> Iterator[str]:
    handler = type("Handler", (_Handler,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "bundle.part"


def get(url: str, path: str, part: Path) -> None:
    transport = Transport(url, {}, timeout_s=60)
    try:
        download(transport, url + path, part, sha256=SHA256, size=len(DATA))
    finally:
        transport.close()


@pytest.mark.parametrize("path", ["/good", "/no-ranges"])
def test_a_begun_download_ends_with_the_signed_bytes(url: str, path: str, part: Path) -> None:
    part.write_bytes(DATA[:777])
    get(url, path, part)
    assert part.read_bytes() == DATA


def test_only_the_rest_is_asked_for_and_a_complete_file_is_not(
    url: str, part: Path, asked: list[str]
) -> None:
    part.write_bytes(DATA[:777])
    get(url, "/good", part)
    get(url, "/good", part)
    assert asked == ["bytes=777-"]


def test_not_one_byte_more_than_was_signed_is_written(url: str, part: Path) -> None:
    get(url, "/endless", part)
    assert part.read_bytes() == DATA


def test_a_file_that_is_too_long_is_begun_anew(url: str, part: Path, asked: list[str]) -> None:
    part.write_bytes(DATA + b"more")
    get(url, "/good", part)
    assert asked == [""]
    assert part.read_bytes() == DATA


def test_bytes_that_were_not_signed_are_removed(url: str, part: Path) -> None:
    with pytest.raises(TrustError):
        get(url, "/other", part)
    assert not part.exists()


def test_an_answer_that_ends_early_is_the_networks_fault_and_kept(url: str, part: Path) -> None:
    with pytest.raises(NetworkError):
        get(url, "/short", part)
    assert part.stat().st_size == 5000


def test_a_range_that_the_server_does_not_have_begins_anew(url: str, part: Path) -> None:
    part.write_bytes(DATA[:777])
    with pytest.raises(NetworkError):
        get(url, "/no-such-range", part)
    get(url, "/no-such-range", part)
    assert part.read_bytes() == DATA


def test_a_busy_server_says_when_to_come_again(url: str, part: Path) -> None:
    with pytest.raises(BusyError) as caught:
        get(url, "/busy", part)
    assert caught.value.retry_after_s == 9


def test_a_redirection_is_not_followed(url: str, part: Path) -> None:
    with pytest.raises(StatusError, match="302"):
        get(url, "/elsewhere", part)


def test_what_is_gone_is_gone(url: str, part: Path) -> None:
    with pytest.raises(GoneError):
        get(url, "/nothing", part)


def test_a_folder_without_room_is_said_before_anything_is_asked(
    url: str, part: Path, asked: list[str]
) -> None:
    with pytest.raises(StorageError, match="no room"):
        check_room(part.parent, need=1 << 60)
    with pytest.raises(StorageError, match="no room"):
        download(Transport(url, {}), url + "/good", part, sha256=SHA256, size=1 << 60)
    assert asked == []
