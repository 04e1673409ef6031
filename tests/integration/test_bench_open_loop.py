"""The load of `swap_under_load` is an open loop: a stall costs every request that was due in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.swap_under_load import Load
from tests.integration.server_fleet import until

pytestmark = pytest.mark.integration
STALL_S = 0.5


class Stalling(ThreadingHTTPServer):
    """Answers at once, but for one request."""

    daemon_threads = True
    answers = 0
    stalls_at = 20


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Stalling

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.answers += 1
        if self.server.answers == self.server.stalls_at:
            time.sleep(STALL_S)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def netloc() -> Iterator[str]:
    with Stalling(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_was_due_while_a_server_stalled_waited_since_then(netloc: str) -> None:
    load = Load(netloc, rate_hz=100.0, clients=1)
    load.start()
    until(lambda: len(load.due) >= 100)
    load.stop()
    gaps = [later - earlier for earlier, later in zip(load.due, load.due[1:], strict=False)]
    assert gaps == pytest.approx([0.01] * len(gaps))  # nothing was left out
    assert load.lost == 0
    assert load.silence_ms() >= STALL_S * 1e3 * 0.99
    waited = [ms for ms in load.latencies_ms if ms >= STALL_S / 2 * 1e3]
    assert len(waited) >= 24  # of 50 that were due in the stall, those in its first half


def test_what_gets_no_answer_is_counted_and_the_timetable_goes_on() -> None:
    load = Load("127.0.0.1:9", rate_hz=500.0, clients=2)
    load.start()
    until(lambda: load.lost >= 20)
    load.stop()
    assert load.due == []
