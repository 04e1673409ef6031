"""Neighbouring versions work together: what released ones said and stored, against today's.

The recordings are in tests/fixtures, one folder a version (`tests.integration.recording`).
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from device_agent.ddi import Ddi
from device_agent.identity import Identity, load_identity
from device_agent.slots import SlotStore
from device_agent.transport import Transport
from edgekit import codec
from edgekit.bundle import open_bundle
from edgekit.client.http import FleetClient
from edgekit.device import DeviceProfile
from edgekit.protocol import TelemetryBatch
from edgekit.trust.fetching import HttpFetch
from edgekit.trust.metadata import digest
from edgekit.trust.verifying import Clock, TargetInfo, TrustStore
from fleet_server.api.encodings import unpack
from tests.conftest import CHECKOUT
from tests.integration.recording import Exchange, as_bytes
from tests.integration.server_fleet import Answer, Server, until

pytestmark = pytest.mark.integration

_EMPTY = TelemetryBatch(boot_id="b", sent_mono_s=1.0, spool_id="s", windows=())
RECORDED = sorted((CHECKOUT / "tests" / "fixtures").glob("[0-9]*"))


@dataclass
class Recording:
    """What one version said and stored."""

    folder: Path

    @property
    def facts(self) -> dict[str, str]:
        return dict(json.loads((self.folder / "recorded.json").read_text()))

    @property
    def exchanges(self) -> list[Exchange]:
        lines = (self.folder / "exchange.jsonl").read_text().splitlines()
        return [Exchange(**json.loads(line)) for line in lines]

    def server(self, data: Path) -> Server:
        """Return a server over a copy of the recorded folder."""
        shutil.copytree(self.folder / "server", data)
        data.chmod(0o700)
        with contextlib.closing(sqlite3.connect(data / "fleet.sqlite")) as database:
            database.executescript((data / "fleet.sql").read_text())
        (data / "fleet.sql").unlink()
        return Server(data)


@pytest.fixture(params=RECORDED, ids=lambda folder: folder.name)
def recording(request: pytest.FixtureRequest) -> Recording:
    return Recording(request.param)


@dataclass
class Replay:
    """Sends recorded requests to a server of today, with its own address and tokens in them."""

    server: Server
    renamed: dict[str, str] = field(default_factory=dict)

    def send(self, recorded: Exchange) -> Answer:
        body = recorded.body
        headers = {name: self._now(value) for name, value in recorded.headers.items()}
        data = as_bytes(body) if body.startswith("base64:") else self._now(body).encode()
        return self.server.ask(
            recorded.method, self._now(recorded.path), body=data or None, headers=headers
        )

    def learn(self, recorded: Exchange, answer: Answer) -> None:
        """Remember which new token stands for a recorded one."""
        before = _json(recorded.answer)
        for name in ("token", "device_token"):
            if isinstance(before, dict) and name in before:
                self.renamed[before[name]] = answer.json[name]

    def _now(self, text: str) -> str:
        for before, after in self.renamed.items():
            text = text.replace(before, after)
        return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def lacks(recorded: Any, answer: Any, where: str = "") -> str:
    """Return where an answer lacks a recorded field or has it as another type; empty if nowhere."""
    if isinstance(recorded, dict):
        if not isinstance(answer, dict):
            return where
        inside = (
            lacks(value, answer[key], f"{where}.{key}") if key in answer else f"{where}.{key}"
            for key, value in recorded.items()
        )
        return next(filter(None, inside), "")
    if isinstance(recorded, list):
        if not isinstance(answer, list) or (recorded and not answer):
            return where
        return lacks(recorded[0], answer[0], f"{where}[]") if recorded else ""
    same = recorded is None or answer is None or type(recorded) is type(answer)
    return "" if same or {type(recorded), type(answer)} <= {int, float} else where


def test_agents_and_clients_of_a_released_version_work_with_this_server(
    recording: Recording, tmp_path: Path
) -> None:
    """Every recorded request gets its recorded status and at least its recorded fields."""
    server = recording.server(tmp_path / "data")
    server.start()
    try:
        replay = Replay(server, {recording.facts["url"]: server.url})
        for recorded in recording.exchanges:
            answer = _answered(replay, recorded)
            replay.learn(recorded, answer)
            if recorded.path.endswith(".bundle"):
                assert answer.body == as_bytes(recorded.answer)
        with FleetClient(server.url, server.token) as client:
            device = client.device(recording.facts["device"])
            assert device.running == {"digits": recording.facts["digest"]}
    finally:
        server.stop()


def test_a_batch_by_zstd_and_a_change_of_the_token_are_recorded() -> None:
    """So that the test above stays one of both."""
    said = [exchange for folder in RECORDED for exchange in Recording(folder).exchanges]
    batches = [
        codec.decode(unpack(as_bytes(e.body), "zstd"), TelemetryBatch, where=e.path)
        for e in said
        if e.headers.get("content-encoding") == "zstd"
    ]
    assert sum(w.inferences for batch in batches for w in batch.windows) > 0
    given = [
        json.loads(e.answer)["token"]
        for e in said
        if (e.method, e.path.rpartition("/")[2]) == ("POST", "token")
    ]
    assert any(e.headers.get("authorization") == f"TargetToken {given[-1]}" for e in said)


def _answered(replay: Replay, recorded: Exchange) -> Answer:
    """Send a request; reads are repeated until the scheduler has come as far as recorded."""
    what = f"{recorded.method} {recorded.path}"

    def attempt() -> Answer | None:
        answer = replay.send(recorded)
        assert answer.status == recorded.status, (what, answer)
        missing = lacks(_json(recorded.answer), _json(answer.body.decode("utf-8", "replace")))
        if missing and recorded.method == "GET":
            return None
        assert not missing, (what, missing, answer)
        return answer

    found = until(attempt)
    assert isinstance(found, Answer)
    return found


def test_a_folder_of_a_released_version_is_taken_over(recording: Recording, tmp_path: Path) -> None:
    """What it kept in folders is in the database afterwards, and devices read the same."""
    before = {
        path.name: path.read_bytes()
        for path in (recording.folder / "server" / "trust" / "metadata").glob("*.json")
    }
    server = recording.server(tmp_path / "data")
    server.start()
    try:
        for name, data in before.items():
            if name != "timestamp.json":  # renewed when it is old
                answer = server.ask("GET", f"/DEFAULT/tuf/metadata/{name}")
                assert (answer.status, answer.body) == (200, data), name
        with server.client() as client:
            assert [(r.model, r.version) for r in client.releases()] == [("digits", "1.0.0")]
    finally:
        server.stop()
    assert [path.name for path in (server.data / "keys").iterdir()] == ["online.secret"]
    assert list(server.data.rglob("*.json")) == []
    server.start()  # and a second time
    server.stop()


@contextlib.contextmanager
def answering(recording: Recording) -> Iterator[str]:
    """Answer requests as the recorded server did: the first answer to one of that path."""
    answers: dict[tuple[str, str], Exchange] = {}
    for exchange in recording.exchanges:
        if exchange.status == 200:
            answers.setdefault((exchange.method, exchange.path), exchange)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = answers.get((self.command, self.path))
            text = found.answer if found else ""
            here = f"http://{self.headers['Host']}"
            data = as_bytes(text.replace(recording.facts["url"], here))
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(data)))
            if found and (takes := found.answer_headers.get("accept-encoding")):
                self.send_header("Accept-Encoding", takes)
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = answer  # noqa: N815 (names of the library)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_this_agent_understands_a_server_of_a_released_version(
    recording: Recording, tmp_path: Path
) -> None:
    """Poll, deployment, receipt, bundle and trust metadata as they were answered then."""
    facts = recording.facts
    with answering(recording) as url:
        transport = Transport(url, {})
        ddi = Ddi(transport, Identity(device_id=facts["device"], server=url, token="t"))
        poll = ddi.poll({})
        assert (poll.sleep_s, poll.cancel, poll.benchmark) == (1.0, "", "")
        wanted = ddi.deployment(poll.deployment)
        assert (wanted.model, wanted.digest) == ("digits", facts["digest"])
        ddi.put_profile(poll.profile, DeviceProfile(runtimes={}, arch="x86_64"))
        ddi.proceeding(wanted, "probation", "on probation")
        for _ in range(2):  # the second by zstd, where that server said that it takes it
            assert ddi.send_windows(poll.telemetry, _EMPTY).accepted
        if poll.token:
            assert ddi.next_token(poll.token)
        (tmp_path / "bundle").write_bytes(transport.request("GET", wanted.url).body)
        assert open_bundle(tmp_path / "bundle").sha256 == facts["digest"]
        assert trusted(recording, url, wanted.target, tmp_path).sha256 == facts["digest"]


def trusted(recording: Recording, url: str, target: str, folder: Path) -> TargetInfo:
    """Verify recorded metadata as a new device would have, a minute after it was signed."""
    enrolled = next(e for e in recording.exchanges if e.path == "/api/v1/enrol")
    root = json.loads(enrolled.answer)["root"].encode()
    store = TrustStore(folder / "trust")
    store.pin(root, sha256=digest(root))
    at = datetime.fromisoformat(recording.facts["at"]) + timedelta(minutes=1)
    return store.target(
        target,
        model="digits",
        version="1.0.0",
        variant="onnx-fp32",
        fetch=HttpFetch(f"{url}/DEFAULT/tuf/metadata/", {}),
        clock=Clock(now=at, synchronised=True),
    )


def test_this_agent_reads_the_folder_of_a_released_one(
    recording: Recording, tmp_path: Path
) -> None:
    shutil.copytree(recording.folder / "device", tmp_path / "device")
    identity = load_identity(tmp_path / "device" / "identity.json")
    assert identity.device_id == recording.facts["device"]
    slots = SlotStore(tmp_path / "device" / "models").of("digits")
    assert slots.pointers().running == recording.facts["digest"]
    assert slots.open(recording.facts["digest"]).manifest.version == "1.0.0"
