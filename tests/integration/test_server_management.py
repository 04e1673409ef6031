"""The management API against a real server: publishing, refusals, problems."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit import codec
from edgekit.client.wire.admission import NewEnrolmentToken
from edgekit.client.wire.releases import NewRelease
from edgekit.client.wire.rollouts import NewRollout
from edgekit.errors import (
    ConflictError,
    FormatError,
    RefusedError,
    TrustError,
    UsageError,
)
from edgekit.trust import bundle_path
from edgekit.trust.keystore import KeyStore
from edgekit.trust.signing import TargetEntry, extend_model_targets
from tests.integration.server_fleet import (
    LITERT,
    ONNX,
    PASSPHRASE,
    Engineer,
    Server,
    SimulatedDevice,
    everybody,
    now,
    quick,
    until,
)
from tests.manifests import make_bundle

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("management") / "server")
    server.init()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def engineer(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Engineer:
    models = ("digits", "planned", "rolled", "raced", "overlap", "steered")
    return Engineer.create(server, tmp_path_factory.mktemp("engineer"), *models)


def admin(server: Server) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.token}"}


def sign(engineer: Engineer, model: str, entries: list[TargetEntry]) -> str:
    with engineer.server.client() as client:
        previous = client.trust_metadata(model)
    return extend_model_targets(engineer.keystore, model, previous, entries, now=now()).decode()


def upload(engineer: Engineer, path: Path) -> str:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with engineer.server.client() as client:
        client.upload_blob(path, sha256=digest, size=path.stat().st_size)
    return digest


def entry_of(path: Path, version: str, *, variant: str = "onnx-fp32") -> TargetEntry:
    return TargetEntry.of_file(path, model="digits", version=version, variant=variant)


@pytest.mark.parametrize("path", ["/devices", "/releases", "/rollouts", "/trust", "/blobs/x"])
@pytest.mark.parametrize("token", ["", "Bearer wrong", "Basic eDp5", "Bearer "])
def test_without_an_admin_token_everything_is_401(server: Server, path: str, token: str) -> None:
    method = "PUT" if "blobs" in path else "GET"
    answer = server.ask(method, f"/api/v1{path}", headers={"Authorization": token})
    assert answer.status == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["code"] == 21


def test_the_api_describes_itself(server: Server) -> None:
    paths = server.ask("GET", "/api/v1/openapi.json").json["paths"]
    assert {"/api/v1/rollouts", "/api/v1/releases", "/api/v1/devices"} <= set(paths)


def test_health_needs_no_token(server: Server) -> None:
    assert server.ask("GET", "/api/v1/health").json["status"] == "ok"


@pytest.mark.parametrize(
    "body",
    [
        b'{"uses": NaN}',
        b'{"uses": "secret-\\ud800"}',
        b'{"labels": {"k": {"secret": 1}}}',
        b"secret \xff\xfe",
        b'{"uses": 1e400}',
        b"[" * 10_000,
    ],
)
def test_bad_bodies_are_refused_and_never_echoed(server: Server, body: bytes) -> None:
    headers = {**admin(server), "Content-Type": "application/json"}
    answer = server.ask("POST", "/api/v1/enrolment-tokens", body=body, headers=headers)
    assert answer.status in {400, 422}, answer
    assert b"secret" not in answer.body
    assert answer.json["status"] == answer.status


def test_a_label_with_a_lone_surrogate_is_refused(server: Server, engineer: Engineer) -> None:
    headers = {**admin(server), "Content-Type": "application/json"}
    body = b'{"labels": {"site": "\\ud800"}}'
    answer = server.ask("POST", "/api/v1/enrolment-tokens", body=body, headers=headers)
    assert answer.status == 422


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (NewEnrolmentToken(uses=0), "at least one use"),
        (NewEnrolmentToken(life_s=0), "a life"),
        (NewEnrolmentToken(labels={"a b": "c"}), "label"),
    ],
)
def test_senseless_enrolment_tokens_are_refused(
    server: Server, engineer: Engineer, wanted: NewEnrolmentToken, message: str
) -> None:
    with server.client() as client, pytest.raises(UsageError, match=message):
        client.create_enrolment_token(wanted)


def test_an_enrolment_token_is_used_up(server: Server, engineer: Engineer) -> None:
    with server.client() as client:
        token = client.create_enrolment_token(NewEnrolmentToken(uses=1)).token

    def enrol(name: str) -> int:
        body = codec.encode({"token": token, "device_id": name, "profile": ONNX})
        return server.ask("POST", "/api/v1/enrol", body=body).status

    assert enrol("used-1") == 200
    assert enrol("used-2") == 401
    assert enrol("used-1") == 200  # its answer may have been lost
    assert enrol("bad name") == 422


def test_a_device_that_polled_cannot_be_enrolled_over(server: Server, engineer: Engineer) -> None:
    device = SimulatedDevice.enrol(server, "taken")
    device.poll()
    with server.client() as client:
        until(lambda: client.device("taken").last_seen_at)
        token = client.create_enrolment_token(NewEnrolmentToken()).token
    body = codec.encode({"token": token, "device_id": "taken", "profile": ONNX})
    assert server.ask("POST", "/api/v1/enrol", body=body).status == 409
    device.poll()


def test_a_blob_with_another_digest_is_refused(server: Server) -> None:
    path = f"/api/v1/blobs/{'0' * 64}"
    assert server.ask("PUT", path, body=b"bytes", headers=admin(server)).status == 422
    assert server.ask("HEAD", path, headers=admin(server)).status == 404
    bad = server.ask("PUT", "/api/v1/blobs/..%2fx", body=b"", headers=admin(server))
    assert bad.status in {404, 422}


def test_an_upload_can_be_resumed(server: Server) -> None:
    data = os.urandom(100_000)
    path = f"/api/v1/blobs/{hashlib.sha256(data).hexdigest()}"
    headers = {**admin(server), "Content-Length": str(len(data))}
    partial = hashlib.sha256(data).hexdigest()
    (server.data / "blobs" / "incoming" / partial).write_bytes(data[:40_000])
    assert server.ask("HEAD", path, headers=admin(server)).headers["upload-offset"] == "40000"
    answer = server.ask("PUT", f"{path}?offset=50000", body=data[50_000:], headers=admin(server))
    assert answer.status == 409
    answer = server.ask("PUT", f"{path}?offset=40000", body=data[40_000:], headers=admin(server))
    assert answer.status == 200, headers
    found = server.ask("HEAD", path, headers=admin(server))
    assert (found.status, found.headers["content-length"]) == (200, "100000")


def test_publishing_again_changes_nothing_and_other_content_conflicts(
    server: Server, engineer: Engineer, tmp_path: Path
) -> None:
    first = engineer.publish("1.0.0")
    assert engineer.publish("1.0.0") == first
    other = make_bundle(tmp_path, "1.0.0", variant="onnx-int8")
    upload(engineer, other.path)
    signed = sign(engineer, "digits", [entry_of(other.path, "1.0.0", variant="onnx-int8")])
    with server.client() as client:
        with pytest.raises(ConflictError, match="other content"):
            client.create_release(NewRelease(model="digits", version="1.0.0", targets=signed))
        assert client.release("digits", "1.0.0") == first


def test_metadata_of_a_key_that_nobody_trusts_is_refused(
    server: Server, engineer: Engineer, tmp_path: Path
) -> None:
    stranger = KeyStore.create(tmp_path / "keys", PASSPHRASE)
    stranger.add_model("digits")
    bundle = make_bundle(tmp_path, "6.6.6")
    upload(engineer, bundle.path)
    entry = entry_of(bundle.path, "6.6.6")
    signed = extend_model_targets(stranger, "digits", None, [entry], now=now()).decode()
    with server.client() as client:
        with pytest.raises(TrustError):
            client.create_release(NewRelease(model="digits", version="6.6.6", targets=signed))
        with pytest.raises(RefusedError, match="no such release"):
            client.release("digits", "6.6.6")


def test_a_bundle_listed_as_another_is_refused(
    server: Server, engineer: Engineer, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path, "3.0.0")
    upload(engineer, bundle.path)
    with server.client() as client:
        lie = sign(engineer, "digits", [entry_of(bundle.path, "3.0.1")])
        with pytest.raises(FormatError, match="listed as"):
            client.create_release(NewRelease(model="digits", version="3.0.1", targets=lie))
        missing = make_bundle(tmp_path, "3.0.2")
        signed = sign(engineer, "digits", [entry_of(missing.path, "3.0.2")])
        with pytest.raises(UsageError, match="not uploaded"):
            client.create_release(NewRelease(model="digits", version="3.0.2", targets=signed))
        with pytest.raises(FormatError, match="no bundle of this version"):
            client.create_release(NewRelease(model="digits", version="9", targets=signed))
        with pytest.raises(TrustError):
            client.create_release(NewRelease(model="digits", version="9", targets="no json"))


def test_concurrent_publishers_conflict_and_never_mix(
    server: Server, engineer: Engineer, tmp_path: Path
) -> None:
    bundles = [make_bundle(tmp_path, f"1.0.{n}", model="raced") for n in range(4)]
    for bundle in bundles:
        upload(engineer, bundle.path)
    signed = [
        sign(
            engineer,
            "raced",
            [TargetEntry.of_file(b.path, model="raced", version=v, variant="onnx-fp32")],
        )
        for b in bundles
        for v in [b.manifest.version]
    ]
    outcomes: dict[str, str] = {}

    def post(number: int) -> None:
        version = f"1.0.{number}"
        wanted = NewRelease(model="raced", version=version, targets=signed[number])
        with server.client() as client:
            try:
                client.create_release(wanted)
                outcomes[version] = "published"
            except ConflictError:
                outcomes[version] = "conflict"

    threads = [threading.Thread(target=post, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes.values()) == ["conflict"] * 3 + ["published"]
    (winner,) = (v for v, outcome in outcomes.items() if outcome == "published")
    with server.client() as client:
        listed = client.trust_metadata("raced") or b""
        published = [r.version for r in client.releases() if r.model == "raced"]
    assert published == [winner]
    assert bundle_path(model="raced", version=winner, variant="onnx-fp32") in listed.decode()


def test_a_withdrawn_release_is_not_offered(server: Server, engineer: Engineer) -> None:
    engineer.publish("1.0.0", model="rolled")
    device = SimulatedDevice.enrol(server, "withdrawn", labels={"for": "rolled"})
    rollout = engineer.roll_out("1.0.0", model="rolled", **everybody(), selector="for=rolled")
    until(lambda: "deploymentBase" in device.poll())
    with server.client() as client:
        assert client.withdraw("rolled", "1.0.0").state == "withdrawn"
        assert "deploymentBase" not in device.poll()
        client.abort(rollout.id)
        with pytest.raises(ConflictError, match="withdrawn"):
            client.create_rollout(NewRollout(model="rolled", version="1.0.0", policy=everybody()))


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({}, "stages"),
        ({"stages": [{"percent": 50}]}, "percent: 100"),
        ({"stages": [{"percent": 100, "wat": 1}]}, "wat"),
        ({**everybody(), "selector": "a b"}, "selector"),
        ({**everybody(), "selector": [1]}, "selector"),
        ({**everybody(), "not_before": "tomorrow"}, "not_before"),
        ({**everybody(), "not_before": "2030-01-01T00:00:00"}, "time zone"),
    ],
)
def test_a_policy_that_makes_no_sense_names_the_field(
    server: Server, engineer: Engineer, policy: dict[str, Any], message: str
) -> None:
    engineer.publish("1.0.0", model="planned")
    wanted = NewRollout(model="planned", version="1.0.0", policy=policy)
    with server.client() as client, pytest.raises(UsageError, match=message):
        client.create_rollout(wanted)


def test_two_open_rollouts_that_may_reach_one_device_are_refused(
    server: Server, engineer: Engineer
) -> None:
    engineer.publish("1.0.0", model="overlap")
    policy = everybody()
    first = engineer.roll_out("1.0.0", model="overlap", **policy, selector="site=a")
    engineer.roll_out("1.0.0", model="overlap", **policy, selector="site=b")
    with pytest.raises(ConflictError, match=first.id):
        engineer.roll_out("1.0.0", model="overlap", **policy, selector="tier=x,site=a")
    with server.client() as client:
        client.abort(first.id)
    engineer.roll_out("1.0.0", model="overlap", **policy, selector="tier=x,site=a")


def test_a_plan_counts_per_profile_and_starts_nothing(server: Server, engineer: Engineer) -> None:
    engineer.publish("1.0.0", model="planned")
    labels = {"site": "plan"}
    for number in range(3):
        SimulatedDevice.enrol(server, f"plan-{number}", labels=labels).poll()
    SimulatedDevice.enrol(server, "plan-lite", profile=LITERT, labels=labels).poll()
    stages = [quick(devices_per_variant=1), quick(percent=100)]
    policy = {"stages": stages, "selector": "site=plan"}
    wanted = NewRollout(model="planned", version="1.0.0", policy=policy)
    with server.client() as client:
        until(lambda: client.device("plan-lite").last_seen_at)
        rows = {tuple(row.runtimes): row for row in client.plan_rollout(wanted)}
        assert [r for r in client.rollouts() if r.model == "planned"] == []
    assert (rows["onnxruntime",].devices, rows["onnxruntime",].reached) == (3, (1, 3))
    assert rows["litert",].variant == ""
    assert "needs onnxruntime" in rows["litert",].reason


def test_people_steer_and_impossible_verbs_are_refused(server: Server, engineer: Engineer) -> None:
    engineer.publish("1.0.0", model="steered")
    rollout = engineer.roll_out("1.0.0", model="steered", **everybody(), selector="none=such")
    with server.client() as client:
        until(lambda: "stage_started" in [h.kind for h in client.rollout(rollout.id).happenings])
        assert client.pause(rollout.id).phase == "paused"
        assert client.resume(rollout.id).phase == "running"
        assert client.abort(rollout.id).phase == "aborted"
        with pytest.raises(ConflictError, match="resume"):
            client.resume(rollout.id)
        kinds = [h.kind for h in client.rollout(rollout.id).happenings]
        assert kinds[-3:] == ["paused", "resumed", "aborted"]
        assert "by admin" in client.rollout(rollout.id).happenings[-1].text
        with pytest.raises(RefusedError, match="no such rollout"):
            client.pause("none")
    answer = server.ask("POST", f"/api/v1/rollouts/{rollout.id}/dance", headers=admin(server))
    assert answer.status == 404


def test_devices_come_by_page_and_selector(server: Server, engineer: Engineer) -> None:
    for number in range(5):
        SimulatedDevice.enrol(server, f"page-{number}", labels={"paged": "yes"})
    with server.client() as client:
        first = client.device_page(selector="paged=yes", limit=2)
        second = client.device_page(selector="paged=yes", limit=2, after=first[-1].id)
        with pytest.raises(UsageError):
            client.device_page(selector="paged yes")
        with pytest.raises(RefusedError, match="no such device"):
            client.device("nobody")
    assert [d.id for d in first + second] == [f"page-{n}" for n in range(4)]


def test_no_secret_is_in_the_log(server: Server, engineer: Engineer) -> None:
    device = SimulatedDevice.enrol(server, "secretive")
    device.poll()
    log = server.log()
    assert "secretive" in log
    assert device.token not in log
    assert server.token not in log


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--host", "0.0.0.0"], 2, "--behind-proxy"),
        (["--port", "{port}"], 23, "another process listens there"),
        (["--tick", "0"], 2, "tick_s must be above 0"),
    ],
)
def test_a_server_that_cannot_start_says_so_in_one_line(
    server: Server, arguments: list[str], code: int, words: str
) -> None:
    filled = [a.format(port=server.port) for a in arguments]
    done = subprocess.run(
        [sys.executable, "-m", "edgekit.cli", "server", "run", str(server.data), *filled],
        capture_output=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert words in done.stderr.decode()
    assert len(done.stderr.decode().strip().splitlines()) == 1


def test_a_server_stops_by_sigterm_and_keeps_who_was_seen(tmp_path: Path) -> None:
    server = Server(tmp_path / "server")
    server.init()
    assert oct(server.data.stat().st_mode)[-3:] == "700"
    assert oct((server.data / "admin.token").stat().st_mode)[-3:] == "600"
    server.start(poll_interval=60)
    Engineer.create(server, tmp_path)
    SimulatedDevice.enrol(server, "last").poll()
    server.stop(signal.SIGTERM)
    server.start()
    with server.client() as client:
        assert client.device("last").last_seen_at is not None
    server.stop()
