"""Triton's Python HTTP client, unchanged, against a worker: it is asked in a program of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agent.config import Config, Layout
from device_agent.seats import FrontView
from device_agent.slots import SlotStore
from device_agent.supervisor import Supervisor
from tests.integration.agent_models import make_bundle

pytestmark = pytest.mark.integration
PROGRAM = """
import sys
import numpy as np
import tritonclient.http as triton

client = triton.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready()
assert client.is_model_ready("digits") and client.is_model_ready("digits", "1.0.0")
assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
assert client.get_model_metadata("digits")["inputs"][0]["shape"] == [1, 1, 2, 2]
config = client.get_model_config("digits")
assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [1, 1, 2, 2]}], config
values = np.array([[5, 6], [7, 8]], np.float32).reshape(1, 1, 2, 2)
for binary_in in (True, False):
    for binary_out in (True, False):
        one = triton.InferInput("x", values.shape, "FP32")
        one.set_data_from_numpy(values, binary_data=binary_in)
        wanted = triton.InferRequestedOutput("scores", binary_data=binary_out)
        said = client.infer("digits", [one], outputs=[wanted], request_id="7")
        assert said.get_response()["id"] == "7"
        assert np.allclose(said.as_numpy("scores"), [[0.5, 12, 14]]), said.as_numpy("scores")
said = client.async_infer("digits", [one]).get_result()
assert np.allclose(said.as_numpy("scores"), [[0.5, 12, 14]])
wrong = triton.InferInput("x", [2, 2], "FP32")
wrong.set_data_from_numpy(values.reshape(2, 2))
try:
    client.infer("digits", [wrong])
except triton.InferenceServerException as error:
    print(error.message())
"""


@pytest.fixture
def front(tmp_path: Path) -> Iterator[FrontView]:
    layout = Layout(tmp_path / "state")
    layout.folder.mkdir()
    supervisor = Supervisor(Config(drain_s=0.5), layout, boot_id="boot")
    try:
        bundle = make_bundle(tmp_path / "bundles", "1.0.0")
        SlotStore(layout.models).of("digits").stage(bundle.path, bundle.sha256)
        supervisor.serve("digits", bundle.sha256)
        assert supervisor.wait_serving("digits", timeout_s=90)
        yield supervisor.view()["digits"]
    finally:
        supervisor.stop()


def test_tritons_client_works_unchanged(front: FrontView) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, front.address.removeprefix("http://")],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "the model takes float32 [1, 1, 2, 2]" in done.stdout
