"""The verifying process and the fetcher, over real sockets."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edgekit import codec
from edgekit.errors import NetworkError, RefusedError, UsageError
from edgekit.trust import Reason, UntrustedError
from edgekit.trust.fetching import HttpFetch
from edgekit.trust.keystore import KeyStore
from edgekit.trust.metadata import digest
from edgekit.trust.online import OnlineKeys
from edgekit.trust.process import Answer, Request, ask
from edgekit.trust.signing import TargetEntry, extend_model_targets, make_root, make_targets
from edgekit.trust.verifying import TrustStore
from tests.metadata_folder import repository_in

pytestmark = pytest.mark.integration


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


class _WithToken(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.headers["Authorization"] != "Token t":
            self.send_error(401)
        else:
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (name of the base)
        pass


@pytest.fixture
def request_for(tmp_path: Path) -> Iterator[Callable[..., Request]]:
    now = datetime.now(UTC)  # noqa: TID251 (the process under test reads the real clock)
    keystore = KeyStore.create(tmp_path / "engineer", "correct horse")
    keystore.add_model("digits")
    keys = OnlineKeys.generate()
    repository = repository_in(tmp_path / "server", keys)
    bundle = tmp_path / "a.bundle"
    bundle.write_bytes(b"bundle")
    entry = TargetEntry.of_file(bundle, model="digits", version="1.0.0", variant="onnx")
    root = make_root(keystore, keys.public(), now=now)
    files = {
        "root": root,
        "targets": make_targets(keystore, keystore.models(), now=now),
        "digits": extend_model_targets(keystore, "digits", None, [entry], now=now),
    }
    repository.publish(files, now=now)
    TrustStore(tmp_path / "device").pin(root, sha256=digest(root))
    with serving(partial(_WithToken, directory=str(tmp_path / "server"))) as url:

        def build(**changed: object) -> Request:
            fields: dict[str, object] = {
                "folder": str(tmp_path / "device"),
                "metadata_url": url,
                "headers": {"Authorization": "Token t"},
                "path": "models/digits/1.0.0/onnx.bundle",
                "model": "digits",
                "version": "1.0.0",
                "variant": "onnx",
                "clock_synchronised": True,
            }
            return codec.convert({**fields, **changed}, Request, where="test")

        yield build


def test_the_process_returns_the_target(request_for: Callable[..., Request]) -> None:
    info = ask(request_for())
    assert (info.length, info.custom["variant"]) == (6, "onnx")


def test_the_process_returns_the_reason(request_for: Callable[..., Request]) -> None:
    with pytest.raises(UntrustedError) as error:
        ask(request_for(model="faces"))
    assert error.value.reason is Reason.WRONG_MODEL


def test_a_server_that_is_away_is_a_network_error(request_for: Callable[..., Request]) -> None:
    with pytest.raises(NetworkError, match="does not answer"):
        ask(request_for(metadata_url="http://127.0.0.1:9/"))


def test_a_wrong_token_is_said(request_for: Callable[..., Request]) -> None:
    with pytest.raises(RefusedError, match="401"):
        ask(request_for(headers={}))


def test_a_device_that_was_not_enrolled_says_so(
    request_for: Callable[..., Request], tmp_path: Path
) -> None:
    with pytest.raises(UntrustedError) as error:
        ask(request_for(folder=str(tmp_path / "nowhere")))
    assert error.value.reason is Reason.UNPINNED


def test_a_request_that_is_no_request_gets_an_answer_and_a_code() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgekit.trust"],
        input=b"{}",
        capture_output=True,
        check=False,
        timeout=180,
    )
    answer = codec.decode(done.stdout, Answer, where="test")
    assert (answer.ok, done.returncode) == (False, 14)
    assert "folder" in answer.message


def test_the_agents_side_imports_neither_tuf_nor_cryptography() -> None:
    code = (
        "import sys, edgekit.trust, edgekit.trust.process;"
        "print(sorted({m.split('.')[0] for m in sys.modules}"
        " & {'tuf', 'securesystemslib', 'cryptography'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=180
    )
    assert done.stdout.strip() == "[]"


class _Odd(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        match self.path:
            case "/short":
                self._say(200, {"Content-Length": "100"}, b"only this")
            case "/moved":
                self._say(302, {"Location": "/short", "Content-Length": "0"}, b"")
            case "/broken":
                self._say(500, {"Content-Length": "0"}, b"")
            case "/slow":
                self._drip()
            case _:
                self._say(404, {"Content-Length": "0"}, b"")

    def _say(self, code: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _drip(self) -> None:
        self._say(200, {"Content-Length": "1000000"}, b"")
        pause = threading.Event()
        try:
            for _ in range(1000):
                self.wfile.write(b"x")
                pause.wait(0.02)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (name of the base)
        pass


@pytest.mark.parametrize(
    ("path", "message"),
    [
        pytest.param("short", "too early", id="truncated"),
        pytest.param("moved", "302", id="redirected"),
        pytest.param("broken", "500", id="server error"),
        pytest.param("slow", "more than", id="drip"),
    ],
)
def test_an_answer_that_is_none_is_a_network_error(path: str, message: str) -> None:
    with serving(_Odd) as url, pytest.raises(NetworkError, match=message):
        HttpFetch(url, {}, total_s=0.2)(path, 1_000_000)


def test_an_absent_file_is_none() -> None:
    with serving(_Odd) as url:
        assert HttpFetch(url, {})("2.root.json", 100) is None


def test_a_refusal_is_told_from_an_absent_file(tmp_path: Path) -> None:
    with (
        serving(partial(_WithToken, directory=str(tmp_path))) as url,
        pytest.raises(RefusedError, match="401"),
    ):
        HttpFetch(url, {})("2.root.json", 100)


def test_only_http_addresses_are_fetched() -> None:
    with pytest.raises(UsageError, match="file:"):
        HttpFetch("file:///etc", {})


_KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from edgekit.trust.fetching import HttpFetch
from edgekit.trust.verifying import Clock, TrustStore

url, folder, survive = sys.argv[1], sys.argv[2], int(sys.argv[3])
get, asked = HttpFetch(url, {"Authorization": "Token t"}), []

def fetch(path, limit):
    if len(asked) == survive:
        os.kill(os.getpid(), signal.SIGKILL)
    asked.append(path)
    return get(path, limit)

TrustStore(Path(folder)).target(
    "models/digits/1.0.0/onnx.bundle", model="digits", version="1.0.0", variant="onnx",
    fetch=fetch, clock=Clock(now=datetime.now(UTC), synchronised=True),
)
"""


def test_a_kill_at_any_request_leaves_a_folder_that_works(
    request_for: Callable[..., Request],
) -> None:
    request = request_for()
    codes = []
    for survive in range(6):
        command = [sys.executable, "-c", _KILLED, request.metadata_url, request.folder]
        done = subprocess.run(
            [*command, str(survive)], capture_output=True, check=False, timeout=180
        )
        codes.append(done.returncode)
    assert codes[:5] == [-signal.SIGKILL] * 5
    assert codes[5] == 0
    assert ask(request).path == request.path
    left = [entry.name for entry in Path(request.folder).iterdir() if "gen-" in entry.name]
    assert len(left) == 1
