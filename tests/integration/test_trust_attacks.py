"""The attacks of the TUF specification's list against a device, and what becomes of each.

REFUSED with a reason, BOUNDED in bytes and seconds, or RECOVERED after people rotate the root.
Source: The Update Framework specification 1.0.33, section 1.5.2.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edgekit.errors import NetworkError
from edgekit.trust import Reason, UntrustedError, bundle_path, verify_file
from edgekit.trust.fetching import HttpFetch
from edgekit.trust.metadata import Metadata, TargetFile, Targets
from edgekit.trust.online import OnlineKeys
from edgekit.trust.signing import TargetEntry, extend_model_targets, make_targets
from tests.integration.trust_scene import VARIANT, Scene
from tests.metadata_folder import sign, state_of

pytestmark = pytest.mark.integration


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path)
    scene.release("1.0.0")
    assert scene.ask(from_folder(scene), "1.0.0").length > 0
    return scene


def from_folder(scene: Scene) -> Callable[[str, int], bytes | None]:
    """Return a fetch that reads the server's folder, never more than was asked for and one byte."""

    def fetch(path: str, limit: int) -> bytes | None:
        file = scene.metadata / path
        return file.read_bytes()[: limit + 1] if file.is_file() else None

    return fetch


def arbitrary_software(scene: Scene) -> None:
    """The server lists a bundle that no engineer signed, with the keys that it has."""
    path = bundle_path(model="digits", version="6.6.6", variant=VARIANT)
    file = TargetFile(3, {"sha256": "0" * 64}, path)
    forged = Metadata(
        Targets(version=99, expires=scene.now + timedelta(days=9), targets={path: file})
    )
    forged.sign(scene.keys.snapshot)
    (scene.metadata / "99.digits.json").write_bytes(forged.to_bytes())
    state = state_of(scene.metadata, scene.keys)
    stolen = replace(state, roles={**state.roles, "digits": forged.to_bytes()})
    sign(scene.metadata, scene.keys, scene.now, lambda _: stolen)


def rollback(scene: Scene) -> None:
    """An older repository comes back, rightly signed in its time."""
    shutil.copytree(scene.metadata, scene.folder / "old")
    scene.release("1.1.0")
    scene.ask(from_folder(scene), "1.1.0")
    shutil.rmtree(scene.metadata)
    shutil.copytree(scene.folder / "old", scene.metadata)


def indefinite_freeze(scene: Scene) -> None:
    """The server goes on to say what it said, and nothing new."""
    scene.now += timedelta(days=3)


def mix_and_match(scene: Scene) -> None:
    """Targets of one time under the snapshot of another."""
    newest = max(scene.metadata.glob("*.digits.json"), key=lambda p: int(p.name.split(".")[0]))
    old = newest.read_bytes()
    scene.release("1.1.0")
    newer = max(scene.metadata.glob("*.digits.json"), key=lambda p: int(p.name.split(".")[0]))
    assert newer != newest
    newer.write_bytes(old)


def altered_snapshot(scene: Scene) -> None:
    """One byte of signed metadata is another one."""
    scene.release("1.1.0")
    newest = max(scene.metadata.glob("*.snapshot.json"), key=lambda p: int(p.name.split(".")[0]))
    newest.write_bytes(newest.read_bytes().replace(b'"version": ', b'"version":  ', 1)[:-1] + b" ")


def extraneous_dependencies(scene: Scene) -> None:
    """The server adds a role that the root did not delegate to."""
    state = state_of(scene.metadata, scene.keys)
    added = replace(state, roles={**state.roles, "helpers": state.roles["digits"]})
    sign(scene.metadata, scene.keys, scene.now, lambda _: added)


@pytest.mark.parametrize(
    ("attack", "version", "reason"),
    [
        pytest.param(arbitrary_software, "6.6.6", {Reason.UNSIGNED}, id="arbitrary software"),
        pytest.param(rollback, "1.1.0", {Reason.ROLLBACK}, id="rollback"),
        pytest.param(indefinite_freeze, "1.0.0", {Reason.EXPIRED}, id="indefinite freeze"),
        pytest.param(
            mix_and_match,
            "1.1.0",
            {Reason.MISMATCH, Reason.ROLLBACK, Reason.INVALID},
            id="mix and match",
        ),
        pytest.param(
            altered_snapshot,
            "1.1.0",
            {Reason.MISMATCH, Reason.UNSIGNED, Reason.INVALID},
            id="altered metadata",
        ),
        pytest.param(
            extraneous_dependencies, "6.6.6", {Reason.NOT_LISTED}, id="extraneous dependencies"
        ),
    ],
)
def test_refused(
    scene: Scene, attack: Callable[[Scene], None], version: str, reason: set[Reason]
) -> None:
    attack(scene)
    with pytest.raises(UntrustedError) as error:
        scene.ask(from_folder(scene), version)
    assert error.value.reason in reason


def test_wrong_software_is_refused(scene: Scene) -> None:
    scene.release("1.0.0", model="faces")
    info = scene.ask(from_folder(scene), "1.0.0", model="faces")
    with pytest.raises(UntrustedError) as error:
        verify_file(scene.bundle("1.0.0"), info)
    assert error.value.reason is Reason.MISMATCH


def test_the_key_of_a_model_is_replaced_and_its_thief_locked_out(scene: Scene) -> None:
    """A stolen model key lists what it likes until people replace it: RECOVERED."""
    scene.release("6.6.6")
    assert scene.ask(from_folder(scene), "6.6.6").length > 0
    scene.keystore.rotate("digits")
    before = scene.repository.current("targets")
    models = scene.keystore.models()
    entry = TargetEntry.of_file(
        scene.bundle("1.0.0"), model="digits", version="1.0.0", variant=VARIANT
    )
    files = {
        "targets": make_targets(scene.keystore, models, now=scene.now, previous=before),
        "digits": extend_model_targets(scene.keystore, "digits", None, [entry], now=scene.now),
    }
    scene.repository.publish(files, now=scene.now)
    with pytest.raises(UntrustedError) as error:
        scene.ask(from_folder(scene), "6.6.6")
    assert error.value.reason is Reason.NOT_LISTED
    assert scene.ask(from_folder(scene), "1.0.0").length > 0


def test_a_fast_forward_is_recovered_by_a_new_root(scene: Scene) -> None:
    """The thief of the online keys counts versions up to the end."""
    state = state_of(scene.metadata, scene.keys)
    far = replace(state, snapshot_version=2**40, timestamp_version=2**40)
    own = shutil.copytree(scene.metadata, scene.folder / "own")
    sign(scene.metadata, scene.keys, scene.now, lambda _: far)
    scene.ask(from_folder(scene), "1.0.0")
    shutil.rmtree(scene.metadata)
    shutil.copytree(own, scene.metadata)
    scene.repository.refresh(now=scene.now)
    with pytest.raises(UntrustedError) as error:
        scene.ask(from_folder(scene), "1.0.0")
    assert error.value.reason is Reason.ROLLBACK
    scene.use_keys(OnlineKeys.generate())
    scene.new_root()
    assert scene.ask(from_folder(scene), "1.0.0").custom["version"] == "1.0.0"


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(OSError):  # the device hung up
                answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        loop = server.serve_forever
        threading.Thread(target=loop, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_endless_data_is_bounded_in_bytes(scene: Scene) -> None:
    sent = [0]

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while sent[0] < 1 << 30:
            sent[0] += handler.wfile.write(b" " * (1 << 16))

    with serving(endless) as url, pytest.raises((UntrustedError, NetworkError)):
        scene.ask(HttpFetch(url, {}), "1.0.0")
    assert sent[0] < 64 << 20


def test_slow_retrieval_is_bounded_in_seconds(scene: Scene) -> None:
    hung_up = threading.Event()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        try:
            for _ in range(3000):
                handler.wfile.write(b" ")
                time.sleep(0.01)
        finally:
            hung_up.set()

    with serving(slow) as url, pytest.raises(NetworkError, match="more than"):
        scene.ask(HttpFetch(url, {}, timeout_s=60.0, total_s=0.3), "1.0.0")
    assert hung_up.wait(90)


def test_six_months_away_one_visit_brings_a_device_back(scene: Scene) -> None:
    """Five new roots, new online keys, expired and renewed metadata, a release that is gone."""
    scene.now += timedelta(days=183)
    scene.use_keys(OnlineKeys.generate())
    for _ in range(5):
        scene.new_root()
    scene.release("2.0.0")
    scene.repository.refresh(now=scene.now)
    assert scene.ask(from_folder(scene), "2.0.0").custom["version"] == "2.0.0"
    assert scene.device.verified_at() == scene.now
