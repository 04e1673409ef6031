"""The inference server of a real worker: Open Inference Protocol v2 over TCP and a Unix socket."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from device_agent.config import Config, Layout
from device_agent.seats import FrontView
from device_agent.slots import SlotStore
from device_agent.spool import Spool
from device_agent.supervisor import Supervisor
from device_agent.worker.messages import Mode, NoteKind
from edgekit import codec
from edgekit.drift import Features, reference_of
from tests.integration.agent_fleet import gone, wait_for
from tests.integration.agent_models import BRIGHT, DARK, make_bundle

pytestmark = pytest.mark.integration


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    layout = Layout(tmp_path / "state")
    layout.folder.mkdir()
    Spool(layout.spool, max_bytes=1 << 20).close()
    config = Config(window_s=60, drain_s=0.5, inference_timeout_s=2)
    supervisor = Supervisor(config, layout, boot_id="boot")
    yield supervisor
    supervisor.stop()


def staged(tmp_path: Path, version: str, **kind: Any) -> str:
    bundle = make_bundle(tmp_path / "bundles", version, **kind)
    slots = SlotStore(tmp_path / "state" / "models").of("digits")
    slots.stage(bundle.path, bundle.sha256)
    return bundle.sha256


@pytest.fixture
def front(supervisor: Supervisor, tmp_path: Path) -> FrontView:
    supervisor.serve("digits", staged(tmp_path, "1.0.0"))
    assert supervisor.wait_serving("digits", timeout_s=90)
    return supervisor.view()["digits"]


def connect(front: FrontView) -> http.client.HTTPConnection:
    host, _, port = front.address.removeprefix("http://").partition(":")
    return http.client.HTTPConnection(host, int(port), timeout=60)


def post(
    front: FrontView, body: bytes | dict[str, Any], headers: dict[str, str] | None = None
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = connect(front)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", "/v2/models/digits/infer", data, headers or {})
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    return response.status, answer, response.headers


def tensor(values: Any, **changed: Any) -> dict[str, Any]:
    array = np.asarray(values, np.float32).reshape(1, 1, 2, 2)
    one = {
        "name": "x",
        "shape": [1, 1, 2, 2],
        "datatype": "FP32",
        "data": array.ravel().tolist(),
    }
    return {**one, **changed}


def expected(image: Any) -> list[float]:
    left, right = image[0][0] + image[1][0], image[0][1] + image[1][1]
    return [0.5, float(left), float(right)]


def test_a_tensor_gets_the_scores_of_the_model(front: FrontView) -> None:
    status, body, _ = post(front, {"id": "7", "inputs": [tensor([[1, 2], [3, 4]])]})
    answer = json.loads(body)
    assert status == 200
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("7", "digits", "1.0.0")
    assert answer["outputs"][0]["shape"] == [1, 3]
    assert answer["outputs"][0]["data"] == pytest.approx(expected([[1, 2], [3, 4]]))


def test_binary_tensors_go_both_ways(front: FrontView) -> None:
    values = np.array([[5, 6], [7, 8]], np.float32)
    blob = values.tobytes()
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "x",
                    "shape": [1, 1, 2, 2],
                    "datatype": "FP32",
                    "parameters": {"binary_data_size": len(blob)},
                }
            ],
            "outputs": [{"name": "scores", "parameters": {"binary_data": True}}],
        }
    ).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    status, body, said = post(front, head + blob, headers)
    length = int(said["Inference-Header-Content-Length"])
    assert status == 200
    assert json.loads(body[:length])["outputs"][0]["parameters"] == {"binary_data_size": 12}
    scores = np.frombuffer(body[length:], np.float32)
    assert scores.tolist() == pytest.approx(expected(values))


def test_a_raw_image_is_prepared_by_the_manifest(front: FrontView) -> None:
    image = {"name": "image", "shape": [2, 2], "datatype": "UINT8", "data": BRIGHT.tolist()}
    status, body, _ = post(front, {"inputs": [image]})
    assert status == 200
    assert json.loads(body)["parameters"]["label"] == "left"


@pytest.mark.parametrize(
    ("body", "word"),
    [
        pytest.param(b"{", "request", id="no-json"),
        pytest.param({"inputs": []}, "missing", id="no-input"),
        pytest.param({"inputs": [tensor([1, 2, 3, 4], shape=[2, 2])]}, "takes", id="shape"),
        pytest.param({"inputs": [tensor([1, 2, 3, 4], data=[1])]}, "values", id="count"),
        pytest.param({"inputs": [tensor([1, 2, 3, 4], datatype="FP99")]}, "FP99", id="type"),
        pytest.param(
            {"inputs": [tensor([1, 2, 3, 4], data=[1, 2, 3, 1e39])]}, "finite", id="infinite"
        ),
    ],
)
def test_bad_input_is_the_clients_fault_and_named(
    front: FrontView, body: bytes | dict[str, Any], word: str
) -> None:
    status, answer, _ = post(front, body)
    assert status == 400
    assert word in json.loads(answer)["error"]


def test_health_and_metadata_are_told(front: FrontView) -> None:
    connection = connect(front)
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/digits/ready"):
        connection.request("GET", path)
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"{}")
    connection.request("GET", "/v2/models/digits")
    metadata = json.loads(connection.getresponse().read())
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [1, 1, 2, 2]}]
    connection.request("GET", "/v2/models/other")
    response = connection.getresponse()
    response.read()
    assert response.status == 404
    connection.close()


def test_the_unix_socket_answers_as_well(front: FrontView) -> None:
    folder = os.open(Path(front.unix).parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            client.connect(f"/proc/self/fd/{folder}/infer.sock")
            client.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
    finally:
        os.close(folder)


def test_a_hanging_inference_ends_the_worker_and_a_new_one_answers(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.serve("digits", staged(tmp_path, "2.0.0", turns=1e12))
    assert supervisor.wait_serving("digits", timeout_s=90)
    front = supervisor.view()["digits"]
    image = {"name": "image", "shape": [2, 2], "datatype": "UINT8", "data": BRIGHT.tolist()}
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        post(front, {"inputs": [image]})
    wait_for(lambda: gone(front.pid))
    wait_for(lambda: supervisor.view()["digits"].hangs == 1)
    assert supervisor.wait_serving("digits", timeout_s=90)
    dark = {**image, "data": DARK.tolist()}
    assert post(front, {"inputs": [dark]})[0] == 200


def test_a_candidate_that_fails_its_self_test_never_answers(
    supervisor: Supervisor, front: FrontView, tmp_path: Path
) -> None:
    note = supervisor.prepare("digits", staged(tmp_path, "2.0.0", wrong_golden=True))
    assert (note.kind, note.reason) == (NoteKind.FAILED, "golden_mismatch")
    assert not supervisor.switch("digits", Mode.PROBATION)
    assert supervisor.running() == {"digits": front.digest}


def test_going_back_lets_the_reserved_worker_answer_again(
    supervisor: Supervisor, front: FrontView, tmp_path: Path
) -> None:
    second = staged(tmp_path, "2.0.0", shift=1.0)
    assert supervisor.prepare("digits", second).kind is NoteKind.READY
    assert supervisor.switch("digits", Mode.PROBATION)
    assert supervisor.running() == {"digits": second}
    supervisor.go_back("digits", front.digest)
    assert supervisor.view()["digits"].pid == front.pid
    assert post(front, {"inputs": [tensor([1, 2, 3, 4])]})[0] == 200


def test_a_damaged_copy_of_the_model_is_written_again_from_the_bundle(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    digest = staged(tmp_path, "1.0.0")
    model = tmp_path / "state" / "models" / "digits" / digest / "files" / "model.onnx"
    good = model.read_bytes()
    model.write_bytes(good[:-9])
    supervisor.serve("digits", digest)
    assert supervisor.wait_serving("digits", timeout_s=90)
    assert model.read_bytes() == good


def test_windows_bring_what_the_inputs_looked_like_and_the_worker_keeps_to_its_cores(
    tmp_path: Path,
) -> None:
    layout = Layout(tmp_path / "state")
    layout.folder.mkdir()
    core = min(os.sched_getaffinity(0))
    config = Config(window_s=60, drain_s=2, cores=(core,))
    supervisor = Supervisor(config, layout, boot_id="boot")
    try:
        means = [Features(numbers={"input.0.mean.0": v / 1000}) for v in range(30)]
        reference = codec.encode(reference_of(means))
        supervisor.serve("digits", staged(tmp_path, "1.0.0", drift=reference))
        assert supervisor.wait_serving("digits", timeout_s=90)
        front = supervisor.view()["digits"]
        assert os.sched_getaffinity(front.pid) == {core}
        image = {"name": "image", "shape": [2, 2], "datatype": "UINT8", "data": BRIGHT.tolist()}
        assert post(front, {"inputs": [image]})[0] == 200
    finally:
        supervisor.stop()
    (window,) = Spool(layout.spool, max_bytes=1 << 20).oldest(9)
    counts = window.drift["input.0.mean.0"]
    assert (sum(counts), counts[-1]) == (1, 1)


def test_a_model_that_grows_takes_its_worker_down_and_nothing_else(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "state")
    layout.folder.mkdir()
    config = Config(window_s=60, drain_s=2, memory_mb=250)
    supervisor = Supervisor(config, layout, boot_id="boot")
    image = {"name": "image", "shape": [2, 2], "datatype": "UINT8", "data": BRIGHT.tolist()}
    try:
        supervisor.serve("digits", staged(tmp_path, "1.0.0", grow_mb=400))
        assert supervisor.wait_serving("digits", timeout_s=90)
        front = supervisor.view()["digits"]
        assert front.stats.rss_mb < 250
        assert post(front, {"inputs": [image]})[0] == 200
        wait_for(lambda: gone(front.pid))
        wait_for(lambda: supervisor.view()["digits"].crashes == 1)
        assert supervisor.wait_serving("digits", timeout_s=90)
        assert supervisor.view()["digits"].pid != front.pid
        dark = {**image, "data": DARK.tolist()}
        assert post(front, {"inputs": [dark]})[0] == 200
    finally:
        supervisor.stop()
