"""Webhooks: everything that happens, signed, in order, at least once."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from edgekit import codec
from edgekit.errors import RefusedError, UsageError
from tests.integration.server_fleet import (
    Engineer,
    Server,
    SimulatedDevice,
    drive,
    everybody,
    until,
)

pytestmark = pytest.mark.integration


class Receiver(HTTPServer):
    """Keeps what it is told; refuses while it is asked to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.told: list[tuple[dict[str, str], bytes]] = []
        self.refusing = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        refuse = self.server.refusing > 0
        self.server.refusing -= refuse
        if not refuse:
            self.server.told.append((dict(self.headers), body))
        self.send_response(503 if refuse else 204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (signature of http.server)
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.serve_forever)
    thread.start()
    yield receiver
    receiver.shutdown()
    thread.join()
    receiver.server_close()


def test_everything_that_happens_is_told_signed_and_in_order(
    tmp_path: Path, receiver: Receiver
) -> None:
    with Server(tmp_path / "server") as server, server.client() as client:
        engineer = Engineer.create(server, tmp_path)
        device = SimulatedDevice.enrol(server, "one")
        engineer.publish("1.0.0")
        with pytest.raises(UsageError):
            client.add_webhook("ftp://somewhere")
        made = client.add_webhook(receiver.url)
        receiver.refusing = 1
        rollout = engineer.roll_out("1.0.0", **everybody())
        drive(server, [device], rollout.id)
        until(lambda: len(receiver.told) == len(client.rollout(rollout.id).happenings))
        kinds = [h.kind for h in client.rollout(rollout.id).happenings]
        bodies = [codec.decode(body, dict[str, Any], where="hook") for _, body in receiver.told]
        assert [body["kind"] for body in bodies] == kinds
        assert {body["rollout"] for body in bodies} == {rollout.id}
        for headers, body in receiver.told:
            at, _, sent = headers["EdgeKit-Signature"].removeprefix("t=").partition(",v1=")
            mac = hmac.new(made.secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
            assert sent == mac.hexdigest()
        assert [(w.failures, w.problem) for w in client.webhooks()] == [(0, "")]
        client.drop_webhook(made.id)
        with pytest.raises(RefusedError):
            client.drop_webhook(made.id)
