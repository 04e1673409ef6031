"""The device protocol against a real server over real sockets."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import re
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest

from edgekit import codec
from tests.integration.server_fleet import (
    ONNX,
    Engineer,
    Server,
    SimulatedDevice,
    everybody,
    feedback,
    now,
    until,
)

pytestmark = pytest.mark.integration

_NAMES = (f"device-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("ddi") / "server")
    server.init()
    server.start(poll_interval=90)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def engineer(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Engineer:
    engineer = Engineer.create(server, tmp_path_factory.mktemp("engineer"))
    engineer.publish("1.0.0")
    policy = everybody(min_windows=1000)
    policy["gate"] = {"mode": "must_not_fail", "max_failed_devices": 1000}  # tests report many
    rollout = engineer.roll_out("1.0.0", selector={"gets": "it"}, **policy)
    with server.client() as client:
        until(lambda: any(h.kind == "stage_started" for h in client.rollout(rollout.id).happenings))
    return engineer


@pytest.fixture
def idle(server: Server, engineer: Engineer) -> SimulatedDevice:
    """A device that is offered nothing."""
    return SimulatedDevice.enrol(server, next(_NAMES))


@pytest.fixture
def offered(server: Server, engineer: Engineer) -> SimulatedDevice:
    """A device that is offered release 1.0.0."""
    return SimulatedDevice.enrol(server, next(_NAMES), labels={"gets": "it"})


def base_of(device: SimulatedDevice) -> dict[str, Any]:
    base: dict[str, Any] = device.ask("GET", device.poll()["deploymentBase"]).json
    return base


def artifact_of(device: SimulatedDevice) -> dict[str, Any]:
    (chunk,) = base_of(device)["deployment"]["chunks"]
    (artifact,) = chunk["artifacts"]
    return dict(artifact)


def history(device: SimulatedDevice) -> list[Any]:
    with device.server.client() as client:
        return client.history(device.name)


def test_a_poll_has_absolute_links_by_the_host_it_was_sent_to(idle: SimulatedDevice) -> None:
    answer = idle.ask("GET", headers={"Host": "fleet.example:99"})
    assert answer.json["config"] == {"polling": {"sleep": "00:01:30"}}
    links = answer.json["_links"]
    assert set(links) == {f"edgekit:{one}" for one in ("telemetry", "profile", "token", "trust")}
    prefix = f"http://fleet.example:99/DEFAULT/controller/v1/{idle.name}/"
    assert links["edgekit:telemetry"]["href"] == prefix + "telemetry"


@pytest.mark.parametrize(
    "authorization",
    [None, "TargetToken wrong", "targettoken {token}", "TargetToken  {token}", "Bearer {token}"],
    ids=["none", "wrong", "lower case scheme", "two blanks", "bearer"],
)
@pytest.mark.parametrize("path", ["", "/deploymentBase/1", "/softwaremodules/1/artifacts/x"])
def test_without_its_token_a_device_gets_401_and_no_body(
    idle: SimulatedDevice, path: str, authorization: str | None
) -> None:
    idle.poll()  # so that an answer is on the board
    headers = {"Authorization": authorization.format(token=idle.token)} if authorization else {}
    answer = idle.server.ask("GET", idle.path + path, headers=headers)
    assert (answer.status, answer.body) == (401, b"")


def test_an_unknown_device_looks_like_a_wrong_token(idle: SimulatedDevice) -> None:
    headers = {"Authorization": f"TargetToken {idle.token}"}
    answer = idle.server.ask("GET", "/DEFAULT/controller/v1/nobody", headers=headers)
    assert (answer.status, answer.body) == (401, b"")


def test_a_device_cannot_speak_for_another(idle: SimulatedDevice, offered: SimulatedDevice) -> None:
    action = base_of(offered)["id"]
    headers = {"Authorization": f"TargetToken {idle.token}"}
    assert idle.server.ask("GET", offered.path, headers=headers).status == 401
    assert idle.ask("GET", f"/deploymentBase/{action}").status == 404
    assert idle.report(action, feedback("closed", "success", outcome="committed")).status == 404
    assert history(offered)[0].state == "offered"


def test_a_deployment_is_numeric_signed_by_path_and_carries_c(offered: SimulatedDevice) -> None:
    href = offered.poll()["deploymentBase"]
    assert re.search(r"/deploymentBase/(\d+)\?c=(-?\d+)$", href)
    base = offered.ask("GET", href).json
    assert base["id"].isdigit()
    (chunk,) = base["deployment"]["chunks"]
    meta = {m["key"]: m["value"] for m in chunk["metadata"]}
    assert meta == {
        "edgekit:target": "models/digits/1.0.0/onnx-fp32.bundle",
        "edgekit:model": "digits",
        "edgekit:version": "1.0.0",
        "edgekit:variant": "onnx-fp32",
        "edgekit:kind": "update",
    }
    assert chunk["artifacts"][0]["filename"] == "digits-1.0.0-onnx-fp32.bundle"


def test_polling_again_offers_the_same_action(offered: SimulatedDevice) -> None:
    assert len({offered.poll()["deploymentBase"] for _ in range(3)}) == 1
    assert len(history(offered)) == 1


def test_polls_of_one_device_at_the_same_time_are_offered_one_action(
    offered: SimulatedDevice,
) -> None:
    with ThreadPoolExecutor(12) as pool:
        links = list(pool.map(lambda _: offered.poll(), range(36)))
    assert len({each["deploymentBase"] for each in links}) == 1
    assert len(history(offered)) == 1


def test_an_artifact_comes_whole_with_its_digests(offered: SimulatedDevice) -> None:
    artifact = artifact_of(offered)
    href = artifact["_links"]["download-http"]["href"]
    answer = offered.ask("GET", href)
    assert answer.status == 200
    assert int(answer.headers["content-length"]) == artifact["size"] == len(answer.body)
    for name in ("sha256", "sha1", "md5"):
        assert hashlib.new(name, answer.body).hexdigest() == artifact["hashes"][name]
    assert answer.headers["etag"] == f'"{artifact["hashes"]["sha1"]}"'
    summed = offered.ask("GET", artifact["_links"]["md5sum-http"]["href"])
    assert summed.body.decode() == f"{artifact['hashes']['md5']}  {artifact['filename']}"


@pytest.mark.parametrize(
    ("asked", "status", "span"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=10-", 206, slice(10, None)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=5-999999999", 206, slice(5, None)),
        ("bytes=0-1,1-5", 200, slice(None)),
        ("bytes={size}-", 416, slice(0, 0)),
        ("bytes=9-5", 416, slice(0, 0)),
        ("bytes=-0", 416, slice(0, 0)),
        ("bites=0-9", 416, slice(0, 0)),
    ],
)
def test_ranges(
    offered: SimulatedDevice, asked: str, status: int, span: slice[Any, Any, Any]
) -> None:
    artifact = artifact_of(offered)
    href, size = artifact["_links"]["download"]["href"], artifact["size"]
    whole = offered.ask("GET", href).body
    answer = offered.ask("GET", href, headers={"Range": asked.format(size=size)})
    assert (answer.status, answer.body) == (status, whole[span])
    if status == 416:
        assert answer.headers["content-range"] == f"bytes */{size}"
    if status == 206:
        start = size - len(answer.body) if span.start and span.start < 0 else span.start
        end = start + len(answer.body) - 1
        assert answer.headers["content-range"] == f"bytes {start}-{end}/{size}"


def test_several_ranges_are_parts_of_one_answer(offered: SimulatedDevice) -> None:
    artifact = artifact_of(offered)
    href, size = artifact["_links"]["download"]["href"], artifact["size"]
    whole = offered.ask("GET", href).body
    answer = offered.ask("GET", href, headers={"Range": "bytes=0-9,-5"})
    assert answer.status == 206
    assert len(answer.body) == int(answer.headers["content-length"])
    kind = answer.headers["content-type"]
    message = BytesParser().parsebytes(
        b"Content-Type: " + kind.encode() + b"\r\n\r\n" + answer.body
    )
    assert message.get_content_type() == "multipart/byteranges"
    parts = [part for part in message.walk() if not part.is_multipart()]
    found = [(part["Content-Range"], part.get_payload(decode=True)) for part in parts]
    assert found == [
        (f"bytes 0-9/{size}", whole[:10]),
        (f"bytes {size - 5}-{size - 1}/{size}", whole[-5:]),
    ]


def test_a_body_in_cbor_is_refused_by_name(offered: SimulatedDevice) -> None:
    headers = {"Content-Type": "application/cbor", "Accept": "application/cbor"}
    answer = offered.ask("PUT", "/configData", body=b"\xa0", headers=headers)
    assert answer.status == 415
    assert "application/json" in answer.json["message"]
    assert offered.ask("GET", headers={"Accept": "application/cbor"}).json  # answers are JSON


def test_if_range_of_another_file_gives_the_whole(offered: SimulatedDevice) -> None:
    artifact = artifact_of(offered)
    href, etag = artifact["_links"]["download"]["href"], f'"{artifact["hashes"]["sha1"]}"'
    other = offered.ask("GET", href, headers={"Range": "bytes=1-2", "If-Range": '"other"'})
    same = offered.ask("GET", href, headers={"Range": "bytes=1-2", "If-Range": etag})
    assert (other.status, same.status) == (200, 206)
    assert offered.ask("GET", href, headers={"If-Match": '"other"'}).status == 412


def test_an_artifact_is_only_for_a_device_that_is_offered_it(
    offered: SimulatedDevice, idle: SimulatedDevice
) -> None:
    href = artifact_of(offered)["_links"]["download"]["href"]
    theirs = href.replace(f"/{offered.name}/", f"/{idle.name}/")
    assert idle.ask("GET", theirs).status == 404
    action = history(offered)[0].action
    offered.report(action, feedback("closed", "failure", outcome="failed", reason="no_room"))
    assert offered.ask("GET", href).status == 404


def test_no_bundle_is_for_anybody_unless_the_operator_says_so(offered: SimulatedDevice) -> None:
    artifact = artifact_of(offered)
    assert offered.server.ask("GET", f"/bundles/{artifact['hashes']['sha256']}").status == 404
    assert "edgekit:mirror" not in artifact["_links"]


@pytest.mark.parametrize("name", ["../fleet.sqlite", "..%2f..%2fadmin.token", "%00", "x.MD5SUM"])
def test_artifact_names_reach_no_other_file(offered: SimulatedDevice, name: str) -> None:
    action = base_of(offered)["id"]
    assert offered.ask("GET", f"/softwaremodules/{action}/artifacts/{name}").status == 404


def test_a_closed_action_answers_410_and_changes_nothing(offered: SimulatedDevice) -> None:
    offered.turn()
    before = history(offered)
    assert before[0].state == "committed"
    said = feedback("closed", "failure", outcome="failed")
    assert offered.report(before[0].action, said).status == 410
    assert history(offered) == before


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (feedback("closed", "success"), "reported"),
        (feedback("closed", "none"), "reported"),
        (feedback("closed", "failure"), "failed"),
        (feedback("closed", "success", outcome="committed"), "committed"),
        (feedback("closed", "success", outcome="unexercised"), "unexercised"),
        (feedback("closed", "failure", outcome="rejected", reason="unsupported"), "rejected"),
        (feedback("closed", "failure", outcome="reverted", reason="crash"), "reverted"),
        (feedback("closed", "failure", outcome="failed", reason="download"), "failed"),
        (feedback("closed", "success", outcome="committed", digest="0" * 64), "failed"),
        (feedback("proceeding", "none"), "downloading"),
        (feedback("download", "none"), "downloading"),
        (feedback("proceeding", "none", state="PROBATION"), "activated"),
        (feedback("rejected", "none"), "offered"),
        (feedback("canceled", "none"), "offered"),
    ],
)
def test_what_a_device_says_is_what_is_stored(
    offered: SimulatedDevice, said: dict[str, Any], state: str
) -> None:
    offered.poll()
    assert offered.report(history(offered)[0].action, said).status == 200
    assert history(offered)[0].state == state


def test_rejecting_after_activation_is_going_back(offered: SimulatedDevice) -> None:
    action = base_of(offered)["id"]
    offered.report(action, feedback("proceeding", "none", state="probation"))
    offered.report(action, feedback("closed", "failure", outcome="rejected", reason="crash"))
    (entry,) = history(offered)
    assert (entry.state, entry.reason) == ("reverted", "crash")
    assert entry.activated_at is not None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"status":{"execution":"closed"}}',
        b'{"status":{"execution":"dancing","result":{"finished":"none"}}}',
        b'{"status":{"execution":"closed","result":{"finished":"\xed\xa0\x80"}}}',
    ],
)
def test_bad_feedback_is_400(offered: SimulatedDevice, body: bytes) -> None:
    action = base_of(offered)["id"]
    answer = offered.ask("POST", f"/deploymentBase/{action}/feedback", body=body)
    assert answer.status == 400
    assert answer.json["errorCode"].startswith("hawkbit.server.error.")
    assert history(offered)[0].state == "offered"


def test_properties_that_nobody_knows_are_ignored(offered: SimulatedDevice) -> None:
    said = feedback("proceeding", "none")
    said["time"] = "20261121T163011"
    said["status"]["result"]["progress"] = {"percentage": 50}
    assert offered.report(base_of(offered)["id"], said).status == 200


def test_config_data_merges_replaces_and_removes(offered: SimulatedDevice) -> None:
    def put(mode: str, data: dict[str, str | None]) -> int:
        return offered.ask("PUT", "/configData", body={"mode": mode, "data": data}).status

    assert put("merge", {"a": "1", "b": "2"}) == 200
    assert put("merge", {"b": None, "c": "3"}) == 200
    with offered.server.client() as client:
        assert client.device(offered.name).attributes == {"a": "1", "c": "3"}
        assert put("remove", {"c": "whatever"}) == 200
        assert client.device(offered.name).attributes == {"a": "1"}
        assert put("replace", {"d": "4"}) == 200
        assert client.device(offered.name).attributes == {"d": "4"}
    assert put("merge", {}) == 400
    assert put("merge", {"k" * 129: "v"}) == 400
    assert offered.ask("PUT", "/configData", body={"data": {"e": "5"}, "id": ""}).status == 200


def test_attributes_are_asked_for_after_a_foreign_success(offered: SimulatedDevice) -> None:
    offered.report(base_of(offered)["id"], feedback("closed", "success"))
    links = offered.poll()
    assert "configData" in links
    offered.ask("PUT", links["configData"], body={"data": {"hw": "x"}})
    assert "configData" not in offered.poll()


def test_what_a_device_runs_is_recorded_with_its_poll(idle: SimulatedDevice) -> None:
    for digest in ("a" * 64, "b" * 64):
        idle.running = {"other": digest}
        idle.poll()
        with idle.server.client() as client:
            assert client.device(idle.name).running == {"other": digest}


def test_the_last_poll_is_stored_within_seconds(idle: SimulatedDevice) -> None:
    idle.poll()
    started = now()
    idle.poll()
    with idle.server.client() as client:
        seen = until(lambda: client.device(idle.name).last_seen_at)
        assert seen
        until(lambda: (client.device(idle.name).last_seen_at or "") >= started.isoformat())


def test_new_labels_change_the_next_answer(idle: SimulatedDevice) -> None:
    assert "deploymentBase" not in idle.poll()
    with idle.server.client() as client:
        client.set_labels(idle.name, {"gets": "it"})
        assert "deploymentBase" in idle.poll()
        client.set_labels(idle.name, {})
    assert "deploymentBase" not in idle.poll()
    assert history(idle)[0].state == "withdrawn"


def test_a_read_offer_that_is_taken_back_is_cancelled(offered: SimulatedDevice) -> None:
    action = base_of(offered)["id"]
    assert offered.ask("GET", f"/cancelAction/{action}").status == 404
    assert offered.report_cancel(action) == 405
    with offered.server.client() as client:
        client.set_labels(offered.name, {})
    links = offered.poll()
    assert "deploymentBase" not in links
    assert links["cancelAction"].endswith(f"/cancelAction/{action}")
    cancel = offered.ask("GET", links["cancelAction"])
    assert cancel.json == {"id": action, "cancelAction": {"stopId": action}}
    assert offered.report_cancel(action) == 200
    assert "cancelAction" not in offered.poll()


def test_a_device_that_was_faster_than_a_cancel_is_believed(offered: SimulatedDevice) -> None:
    action = base_of(offered)["id"]
    with offered.server.client() as client:
        client.set_labels(offered.name, {})
    assert "cancelAction" in offered.poll()
    said = feedback("closed", "success", outcome="committed")
    assert offered.report(action, said).status == 200
    assert history(offered)[0].state == "committed"
    assert "cancelAction" not in offered.poll()


def test_installed_base_shows_what_was_kept(offered: SimulatedDevice) -> None:
    action = base_of(offered)["id"]
    assert offered.ask("GET", f"/installedBase/{action}").status == 404
    offered.turn()
    assert offered.ask("GET", f"/installedBase/{action}").json["id"] == action
    assert offered.ask("GET", f"/deploymentBase/{action}").status == 404


def test_a_profile_can_change(idle: SimulatedDevice) -> None:
    assert idle.ask("PUT", idle.poll()["edgekit:profile"], body=ONNX).status == 200
    assert idle.ask("PUT", "/profile", body=b'{"arch":1}').status == 400
    absurd = {"arch": "x86_64", "runtimes": {"onnxruntime": "9" * 5000}}
    assert idle.ask("PUT", "/profile", body=absurd).status == 400


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("", bytes),
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
    ],
)
def test_windows_arrive_exactly_once(idle: SimulatedDevice, encoding: str, pack: Any) -> None:
    idle.running = {"m": "c" * 64}
    windows = [idle.window("m", errors=2) for _ in range(3)]
    batch = {"spool_id": "s", "boot_id": "boot", "sent_mono_s": 1e9, "windows": windows}
    headers = {"Content-Encoding": encoding} if encoding else {}
    for _ in range(3):
        answer = idle.ask("POST", "/telemetry", body=pack(codec.encode(batch)), headers=headers)
        assert answer.status == 200
        assert answer.json["accepted"] == [1, 2, 3]
    with idle.server.client() as client:
        (totals,) = client.telemetry(idle.name)
    assert (totals.windows, totals.first_seq, totals.last_seq) == (3, 1, 3)
    assert (totals.inferences, totals.errors) == (300, 6)


def test_a_window_of_another_boot_has_no_time_and_an_absurd_one_is_refused(
    idle: SimulatedDevice,
) -> None:
    idle.running = {"m": "c" * 64}
    good, other = codec.plain(idle.window("m")), codec.plain(idle.window("m"))
    other["boot_id"] = "before"
    absurd = {**codec.plain(idle.window("m")), "inferences": -5}
    batch = {"spool_id": "s", "boot_id": "boot", "sent_mono_s": 1e8}
    answer = idle.ask("POST", "/telemetry", body={**batch, "windows": [other, absurd]})
    assert (answer.json["accepted"], answer.json["refused"]) == ([2], [3])
    with idle.server.client() as client:
        assert client.telemetry(idle.name)[0].last_ended_at is None
        idle.ask("POST", "/telemetry", body={**batch, "windows": [good]})
        assert client.telemetry(idle.name)[0].last_ended_at is not None


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (zlib.compress(b" " * (64 << 20)), "deflate", 413),
        (gzip.compress(b"{}")[:-4], "gzip", 400),
        (b"not compressed", "gzip", 400),
        (b"{}", "br", 400),
        (b"x" * (5 << 20), "", 413),
        (b'{"spool_id":"../x","boot_id":"b","sent_mono_s":1,"windows":[]}', "", 400),
    ],
    ids=["bomb", "cut off", "not gzip", "unknown", "large", "spool name"],
)
def test_bad_batches_are_refused(
    idle: SimulatedDevice, body: bytes, encoding: str, status: int
) -> None:
    headers = {"Content-Encoding": encoding}
    assert idle.ask("POST", "/telemetry", body=body, headers=headers).status == status


MILLION = 1_000_000


@pytest.mark.parametrize(
    "changed",
    [
        {"errors": {f"e{number}": 1 for number in range(MILLION)}},
        {"classes": {f"c{number}": 1 for number in range(MILLION)}},
        {"confidence": [0] * MILLION},
        {"latency_ms": {"count": 1, "bins": {str(number): 1 for number in range(MILLION)}}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_window_of_a_million_entries_is_not_stored(
    idle: SimulatedDevice, changed: dict[str, Any]
) -> None:
    idle.running = {"m": "c" * 64}
    window = {**codec.plain(idle.window("m")), **changed}
    batch = {"spool_id": "s", "boot_id": "boot", "sent_mono_s": 1e8, "windows": [window]}
    answer = idle.ask(
        "POST",
        "/telemetry",
        body=gzip.compress(codec.encode(batch), 1),
        headers={"Content-Encoding": "gzip"},
    )
    assert (answer.status, answer.json["refused"]) == (200, [window["seq"]])


@pytest.mark.parametrize(
    "body",
    [b"[" * MILLION, b'{"windows":' * MILLION, b'{"new":' + b"[" * MILLION, b'{"new":[{}' * 9999],
    ids=["lists", "objects", "unknown field", "cut off"],
)
def test_a_body_nested_without_end_is_refused(idle: SimulatedDevice, body: bytes) -> None:
    headers = {"Content-Encoding": "gzip"}
    answer = idle.ask("POST", "/telemetry", body=gzip.compress(body), headers=headers)
    assert answer.status == 400
    for path in ("/configData", "/profile"):
        assert idle.ask("PUT", path, body=body[: 1 << 19]).status == 400


def test_trust_metadata_is_served_and_nothing_else_is(
    server: Server, engineer: Engineer, tmp_path: Path
) -> None:
    base = "/DEFAULT/tuf/metadata/"
    assert server.ask("GET", base + "timestamp.json").json["signed"]["_type"] == "timestamp"
    assert server.ask("GET", base + "1.root.json").status == 200
    for name in ("9.root.json", "..%2f..%2fadmin.token", "timestamp.json%00", ".lock"):
        assert server.ask("GET", base + name).status == 404
