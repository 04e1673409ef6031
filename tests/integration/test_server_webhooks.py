"""Webhooks: everything that happens, signed, in order, at least once."""

from __future__ import annotations

import hashlib
import hmac
import socket
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from edgekit import codec
from edgekit.client.wire.events import DeliveryView
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
        assert drive(server, [device], rollout.id).phase == "finished"
        kinds = [h.kind for h in client.rollout(rollout.id).happenings]
        until(lambda: len(receiver.told) == len(kinds))
        until(lambda: len(client.webhook_calls(made.id)) == len(kinds) + 1)  # kept after they ended
        bodies = [codec.decode(body, dict[str, Any], where="hook") for _, body in receiver.told]
        assert [body["kind"] for body in bodies] == kinds
        assert {body["rollout"] for body in bodies} == {rollout.id}
        assert {(body["model"], body["version"]) for body in bodies} == {("digits", "1.0.0")}
        for headers, body in receiver.told:
            at, _, sent = headers["EdgeKit-Signature"].removeprefix("t=").partition(",v1=")
            mac = hmac.new(made.secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
            assert sent == mac.hexdigest()
        assert [(w.failures, w.problem) for w in client.webhooks()] == [(0, "")]
        calls = client.webhook_calls(made.id)
        assert (calls[-1].status, calls[-1].problem) == (503, "answers 503")
        assert [c.event for c in reversed(calls)] == [bodies[0]["id"], *(b["id"] for b in bodies)]
        assert all(call.took_ms > 0 for call in calls)
        client.drop_webhook(made.id)
        with pytest.raises(RefusedError):
            client.drop_webhook(made.id)


def told(receiver: Receiver) -> list[dict[str, Any]]:
    return [codec.decode(body, dict[str, Any], where="hook") for _, body in list(receiver.told)]


def test_what_happens_to_devices_and_releases_is_told(tmp_path: Path, receiver: Receiver) -> None:
    with Server(tmp_path / "server") as server, server.client() as client:
        engineer = Engineer.create(server, tmp_path)
        client.add_webhook(receiver.url)
        device = SimulatedDevice.enrol(server, "one")
        engineer.publish("1.0.0")
        client.withdraw("digits", "1.0.0")
        client.withdraw("digits", "1.0.0")  # nothing happens the second time
        client.freeze("a test")
        client.unfreeze()
        client.quarantine("one", "smells")
        client.accept("one")
        device.send_boots("a", "b", "a")
        client.revoke("one", "sold")
        client.add_device("two", {})
        wanted = [
            ("device_enrolled", "one", ""),
            ("release_published", "", "admin"),
            ("release_withdrawn", "", "admin"),
            ("fleet_frozen", "", "admin"),
            ("fleet_unfrozen", "", "admin"),
            ("device_quarantined", "one", "admin"),
            ("device_accepted", "one", "admin"),
            ("device_cloned", "one", ""),
            ("device_revoked", "one", "admin"),
            ("device_enrolled", "two", "admin"),
        ]
        until(lambda: len(receiver.told) >= len(wanted))
        bodies = told(receiver)
        assert [(b["kind"], b["device"], b["by"]) for b in bodies] == wanted
        assert "smells" in bodies[5]["text"]
        newest = client.events(limit=3)
        assert [e.kind for e in newest] == ["device_enrolled", "device_revoked", "device_cloned"]
        of_one = client.events(device="one", before=newest[1].id)
        assert [e.kind for e in of_one][:2] == ["device_cloned", "device_accepted"]


def test_a_webhook_is_told_what_it_wants_and_again_when_asked(
    tmp_path: Path, receiver: Receiver
) -> None:
    with Server(tmp_path / "server") as server, server.client() as client:
        Engineer.create(server, tmp_path)
        made = client.add_webhook(receiver.url, ["fleet_frozen"])
        client.freeze("one")
        client.unfreeze()
        client.freeze("two")
        until(lambda: len(receiver.told) == 2)
        first = told(receiver)[0]
        assert [b["body"]["reason"] for b in told(receiver)] == ["one", "two"]
        until(lambda: client.webhooks()[0].told > first["id"] + 1)
        client.call_webhook_again(made.id, after=first["id"] - 1)
        until(lambda: len(receiver.told) == 4)
        assert told(receiver)[2] == first


def during(call: DeliveryView, at: str) -> bool:
    """Whether something happened while a webhook was being called."""
    began = datetime.fromisoformat(call.at)
    return began < datetime.fromisoformat(at) < began + timedelta(milliseconds=call.took_ms)


def test_a_receiver_that_never_answers_delays_no_rollout(
    tmp_path: Path, receiver: Receiver
) -> None:
    with Server(tmp_path / "server") as server, server.client() as client:
        engineer = Engineer.create(server, tmp_path)
        device = SimulatedDevice.enrol(server, "one")
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            never = client.add_webhook(f"http://127.0.0.1:{deaf.getsockname()[1]}/")
            client.add_webhook(receiver.url)
            engineer.publish("1.0.0")
            rollout = engineer.roll_out("1.0.0", **everybody())
            ended = drive(server, [device], rollout.id)
            assert ended.phase == "finished"
            calls = until(lambda: client.webhook_calls(never.id))
        assert any(during(call, h.at) for call in calls for h in ended.happenings)
        until(lambda: told(receiver) and told(receiver)[-1]["kind"] == "finished")
