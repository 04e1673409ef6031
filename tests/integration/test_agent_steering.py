"""What steers an update from outside: cancels, windows, limits, slow servers, several addresses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from device_agent.transport import Transport
from edgekit.demo.processes import free_port
from edgekit.errors import NetworkError, RefusedError
from tests.integration.agent_fleet import CONFIG, Device, Fleet, Offer, quiet_end, wait_for
from tests.integration.agent_models import make_bundle

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def device(tmp_path: Path, fleet: Fleet) -> Iterator[Device]:
    with quiet_end(Device(tmp_path / "device", fleet)) as device:
        device.configure(CONFIG)
        device.enrol()
        offer = fleet.offer(make_bundle(tmp_path / "bundles", "1.0.0"))
        device.start()
        wait_for(lambda: offer.closed)
        yield device


def restarted(device: Device, config: str) -> None:
    device.stop()
    device.configure(config)
    device.start()


def offered(device: Device, version: str) -> Offer:
    return device.fleet.offer(make_bundle(device.folder.parent / "bundles", version, shift=0.1))


def test_a_download_within_its_limit_goes_on_polling_and_can_be_cancelled(
    device: Device, fleet: Fleet
) -> None:
    restarted(device, "download_kb_s = 0.05\n" + CONFIG)
    offer = offered(device, "2.0.0")
    part = device.folder / "downloads" / f"{offer.bundle.sha256}.part"
    wait_for(part.exists)
    polls = fleet.polls
    wait_for(lambda: fleet.polls > polls + 2)
    with fleet._lock:
        fleet.cancelling = offer.action
        offer.closed.append({"edgekit": {"outcome": "withdrawn"}})
    wait_for(lambda: not fleet.cancelling)
    wait_for(lambda: not part.exists(), why="the cancelled download is left over")
    assert len(offer.closed) == 1
    assert fleet.running == f"digits={fleet.offers[0].bundle.sha256}"


def test_a_trial_that_the_server_cancels_is_taken_back(device: Device, fleet: Fleet) -> None:
    restarted(device, CONFIG.replace("duration_s = 1.0", "duration_s = 60"))
    offer = offered(device, "2.0.0")
    wait_for(lambda: device.model().get("mode") == "probation")
    fleet.cancelling = offer.action
    wait_for(lambda: offer.closed)
    assert offer.outcome == ("reverted", "interrupted")
    wait_for(lambda: fleet.running == f"digits={fleet.offers[0].bundle.sha256}")


def test_a_new_release_waits_for_its_window_and_a_way_back_does_not(
    device: Device, fleet: Fleet
) -> None:
    second = offered(device, "2.0.0")
    wait_for(lambda: second.closed)
    begin, end = fleet.now + timedelta(hours=3), fleet.now + timedelta(hours=4)
    restarted(device, f'maintenance = ["{begin:%H:%M}-{end:%H:%M}"]\n' + CONFIG)
    third = offered(device, "3.0.0")
    polls = fleet.polls
    wait_for(lambda: fleet.polls > polls + 3)
    assert third.feedback + third.closed == []
    fleet.offers.remove(third)
    back = fleet.offer(fleet.offers[0].bundle, publish=False, kind="rollback")
    wait_for(lambda: back.closed)
    assert back.outcome == ("committed", "")


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        loop = server.serve_forever
        threading.Thread(target=loop, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def fine(handler: BaseHTTPRequestHandler) -> None:
    body = handler.path.encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def trickling_head(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    _trickle(handler, b"X: y\r\n")


def trickling_body(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n")
    _trickle(handler, b"x")


def _trickle(handler: BaseHTTPRequestHandler, piece: bytes) -> None:
    try:
        for _ in range(2000):
            handler.wfile.write(piece)
            time.sleep(0.02)
    except OSError:
        pass


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    try:
        while True:
            handler.wfile.write(b"x" * (1 << 16))
    except OSError:
        pass


def truncated(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort")


def negative(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"no http at all\r\n\r\n")


def elsewhere(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\n\r\n")


def failing(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "within_s", "error"),
    [
        pytest.param(trickling_head, 0.5, NetworkError, id="trickles its head"),
        pytest.param(trickling_body, 0.5, NetworkError, id="trickles its body"),
        pytest.param(endless, 0.5, NetworkError, id="endless"),
        pytest.param(truncated, 60.0, NetworkError, id="truncated"),
        pytest.param(negative, 60.0, NetworkError, id="no HTTP"),
        pytest.param(failing, 60.0, NetworkError, id="500"),
        pytest.param(elsewhere, 60.0, RefusedError, id="redirects elsewhere"),
    ],
)
def test_a_server_that_misbehaves_is_one_error_and_no_wait_without_end(
    answer: Callable[[BaseHTTPRequestHandler], None], within_s: float, error: type[Exception]
) -> None:
    with serving(answer) as url:
        transport = Transport(url, {}, timeout_s=60.0, answer_within_s=within_s)
        with pytest.raises(error):
            transport.request("GET", url + "/x")
        transport.close()


def test_the_next_address_is_tried_after_one_that_does_not_answer() -> None:
    with serving(fine) as url:
        first = f"http://127.0.0.1:{free_port()}"
        transport = Transport((first, url), {})
        with pytest.raises(NetworkError):
            transport.request("GET", f"{first}/a")
        assert transport.request("GET", f"{first}/a").body == b"/a"
        assert transport.reachable(f"{first}/tuf/") == f"{url}/tuf/"
        transport.close()


def test_a_proxy_of_the_environment_is_used_except_where_it_says_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(fine) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", "direct.invalid")
        through = Transport("http://fleet.invalid:81", {})
        answer = through.request("GET", "http://fleet.invalid:81/a")
        assert answer.body == b"http://fleet.invalid:81/a"
        with pytest.raises(NetworkError):
            Transport("http://direct.invalid", {}).request("GET", "http://direct.invalid/a")
        through.close()
