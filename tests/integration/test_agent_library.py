"""`from device_agent import Model`, and encoded images."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from device_agent import Model
from device_agent.config import Config, Layout
from device_agent.slots import SlotStore
from device_agent.supervisor import Supervisor
from edgekit.errors import DataError, NetworkError, RuntimeFailedError, UsageError
from tests.integration.agent_fleet import wait_for
from tests.integration.agent_models import BRIGHT, DARK, make_bundle

pytestmark = pytest.mark.integration


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    layout = Layout(tmp_path / "state")
    layout.folder.mkdir()
    supervisor = Supervisor(Config(drain_s=1.0), layout, boot_id="boot")
    yield supervisor
    supervisor.stop()


def serve(supervisor: Supervisor, tmp_path: Path, version: str, **kind: Any) -> str:
    bundle = make_bundle(tmp_path / "bundles", version, **kind)
    slots = SlotStore(tmp_path / "state" / "models").of("digits")
    slots.stage(bundle.path, bundle.sha256)
    slots.commit(bundle.sha256)
    supervisor.serve("digits", bundle.sha256)
    assert supervisor.wait_serving("digits", timeout_s=90)
    return bundle.sha256


@pytest.fixture
def model(supervisor: Supervisor, tmp_path: Path) -> Iterator[Model]:
    serve(supervisor, tmp_path, "1.0.0")
    with Model.active("digits", state=tmp_path / "state") as model:
        yield model


def test_a_raw_sample_gets_its_class(model: Model) -> None:
    said = model(BRIGHT)
    assert (said.label, said.version) == ("left", "1.0.0")
    assert said.confidence > 0.33
    assert said.outputs["scores"].shape == (1, 3)
    assert [one.label for one in model.batch([DARK, BRIGHT])] == ["dark", "left"]
    assert asyncio.run(model.call(DARK)).label == "dark"


def test_a_program_with_numpy_alone_can_ask(model: Model, tmp_path: Path) -> None:
    program = (
        "import sys, numpy as np\n"
        "from device_agent import Model\n"
        "with Model.active('digits') as model:\n"
        "    print(model(np.array([[200, 40], [220, 60]], np.uint8)).label)\n"
        "assert not {'onnxruntime', 'cv2', 'tuf'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "EDGEKIT_STATE": str(tmp_path / "state")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("left\n", 0), done.stderr


def test_swaps_and_crashes_are_followed_without_an_error(
    model: Model, supervisor: Supervisor, tmp_path: Path
) -> None:
    versions: list[str] = []
    done = threading.Event()

    def client() -> None:
        while not done.is_set():
            versions.append(model(DARK).version)

    thread = threading.Thread(target=client)
    thread.start()
    wait_for(lambda: versions)
    serve(supervisor, tmp_path, "2.0.0", shift=0.1)
    wait_for(lambda: versions[-1] == "2.0.0")
    os.kill(supervisor.view()["digits"].pid, signal.SIGKILL)
    seen = len(versions)
    wait_for(lambda: len(versions) > seen + 5)
    done.set()
    thread.join(90)
    assert not thread.is_alive()
    assert set(versions) == {"1.0.0", "2.0.0"}


def test_in_process_gives_the_same_answer(model: Model, tmp_path: Path) -> None:
    inside = Model.in_process("digits", state=tmp_path / "state")
    for sample in (DARK, BRIGHT):
        here, there = inside(sample), model(sample)
        assert here.label == there.label
        assert np.array_equal(here.outputs["scores"], there.outputs["scores"])


@pytest.mark.parametrize(
    "sample",
    [
        pytest.param(np.zeros((3, 3), np.uint8), id="another size"),
        pytest.param(np.zeros((2, 2, 7), np.uint8), id="channels"),
        pytest.param(np.full((2, 2), np.nan, np.float32), id="NaN"),
        pytest.param(np.zeros((0, 2), np.uint8), id="empty"),
    ],
)
def test_a_sample_that_does_not_suit_is_an_error_and_never_fed_on(
    model: Model, sample: Any
) -> None:
    with pytest.raises(DataError):
        model(sample)
    assert model(DARK).label == "dark"


def test_a_model_that_answers_nan_is_an_error(supervisor: Supervisor, tmp_path: Path) -> None:
    serve(supervisor, tmp_path, "1.0.0", nan=True)
    state = tmp_path / "state"
    with (
        Model.active("digits", state=state) as model,
        pytest.raises(RuntimeFailedError, match="NaN"),
    ):
        model(BRIGHT)


def test_nobody_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NetworkError):
        Model.active("digits", state=tmp_path)(DARK)
    monkeypatch.delenv("EDGEKIT_STATE", raising=False)
    with pytest.raises(UsageError, match="EDGEKIT_STATE"):
        Model.active("digits")


def encoded(model: Model, supervisor: Supervisor, data: bytes) -> tuple[int, dict[str, Any]]:
    """Send an encoded image as one BYTES element, as Triton's client writes it."""
    blob = len(data).to_bytes(4, "little") + data
    one = {
        "name": "image",
        "shape": [1],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(blob)},
    }
    head = json.dumps({"inputs": [one]}).encode()
    port = int(supervisor.view()["digits"].address.rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Inference-Header-Content-Length": str(len(head))}
    connection.request("POST", "/v2/models/digits/infer", head + blob, headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def test_an_encoded_image_is_decoded_and_prepared(model: Model, supervisor: Supervisor) -> None:
    png = cv2.imencode(".png", BRIGHT)[1].tobytes()
    status, answer = encoded(model, supervisor, png)
    assert (status, answer["parameters"]["label"]) == (200, "left")
    assert encoded(model, supervisor, png[:20])[0] == 400
    assert encoded(model, supervisor, b"")[0] == 400
