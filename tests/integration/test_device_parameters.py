"""Parameters of a model on one device: a real server, a real agent and a real detector."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.models import NAME
from benchmarks.one_device import OneDevice, one_device
from device_agent import Model
from edgekit.bundle import bundle_name, write_bundle
from edgekit.demo.processes import wait_for
from edgekit.errors import EdgeKitError
from edgekit.golden import compute_golden, golden_files
from edgekit.manifest import (
    GoldenSpec,
    ModelFormat,
    Postprocessing,
    Preprocessing,
    Task,
    TensorSpec,
)
from edgekit.runtime import open_session
from tests.integration.server_fleet import PATIENCE_S
from tests.manifests import PLAIN

pytestmark = pytest.mark.integration
SAMPLE = np.zeros((8, 8), np.uint8)
SCHEMA = {
    "type": "object",
    "properties": {"score_threshold": {"type": "number", "minimum": 0, "maximum": 1}},
    "additionalProperties": False,
}
OTHER = {
    "type": "object",
    "properties": {"limit": {"type": "integer", "default": 7}},
    "additionalProperties": False,
}
COMMAND = ("edgekit", "device", "parameters")


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneDevice]:
    with one_device(tmp_path_factory.mktemp("parameters"), channels=4) as device:
        yield device


def detector() -> bytes:
    """Return a model that always sees three objects apart, with scores 0.9, 0.5 and 0.3."""
    boxes = np.array([[[0, 0, 2, 2], [3, 0, 5, 2], [0, 4, 2, 7]]], np.float32)
    scores = np.array([[[0.9], [0.5], [0.3]]], np.float32)
    constants = {"b": boxes, "s": scores, "zero": np.array(0, np.float32)}
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["light"], keepdims=0),
        helper.make_node("Mul", ["light", "zero"], ["nothing"]),
        helper.make_node("Add", ["b", "nothing"], ["boxes"]),
        helper.make_node("Add", ["s", "nothing"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 8, 8])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 3, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3, 1]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    data: bytes = model.SerializeToString()
    onnx.checker.check_model(model)
    return data


def roll_out(device: OneDevice, version: str, schema: dict[str, Any]) -> None:
    """Publish the detector with a schema and wait until the device runs it for good."""
    folder = device.folder / f"release-{version}"
    folder.mkdir()
    file = device.folder / f"{version}.onnx"
    file.write_bytes(detector())
    preprocessing = Preprocessing(height=8, width=8, scale=1 / 255)
    golden = compute_golden(open_session(file, ModelFormat.ONNX), [SAMPLE], preprocessing)
    manifest = replace(
        PLAIN,
        model=NAME,
        version=version,
        inputs=(TensorSpec(name="x", shape=(1, 1, 8, 8), dtype="float32"),),
        outputs=(
            TensorSpec(name="boxes", shape=(1, 3, 4), dtype="float32"),
            TensorSpec(name="scores", shape=(1, 3, 1), dtype="float32"),
        ),
        preprocessing=preprocessing,
        postprocessing=Postprocessing(task=Task.DETECTION),
        labels=("thing",),
        golden=GoldenSpec(count=1, atol=1e-4),
        parameters_schema=schema,
    )
    path = folder / bundle_name(NAME, version, manifest.variant)
    write_bundle(path, manifest, {"model.onnx": file.read_bytes(), **golden_files(golden)})
    keys = str(device.folder / "keys")
    device.commands.run("edgekit", "release", "publish", str(folder), "--keys", keys)
    device.roll_out(version)
    wait_for(version, lambda: device.version() == version, timeout_s=PATIENCE_S)


def told(device: OneDevice) -> tuple[int, str]:
    (view,) = device.commands.json(*COMMAND, "show", "one")
    return view["version"], view["state"]


def objects(device: OneDevice) -> int:
    with Model.active(NAME, state=device.state) as model:
        return len(model(SAMPLE).answer)


def parameters(device: OneDevice) -> dict[str, Any]:
    with Model.active(NAME, state=device.state) as model:
        return model.parameters


def set_to(device: OneDevice, value: float) -> None:
    values = json.dumps({"score_threshold": value})
    device.commands.run(*COMMAND, "set", "one", NAME, values)


def test_parameters_are_set_applied_taken_back_and_refused_by_a_release_that_takes_others(device):
    with pytest.raises(EdgeKitError, match="takes no parameters"):
        set_to(device, 0.6)
    roll_out(device, "2", SCHEMA)
    assert (objects(device), parameters(device)) == (3, {})
    with pytest.raises(EdgeKitError, match="score_threshold is 2"):
        set_to(device, 2)
    file = device.folder / "values.json"
    file.write_text('{"unknown": 1}')
    with pytest.raises(EdgeKitError, match="no parameter unknown"):
        device.commands.run(*COMMAND, "set", "one", NAME, str(file))

    set_to(device, 0.6)
    wait_for("0.6", lambda: told(device) == (1, "applied"), timeout_s=PATIENCE_S)
    assert (objects(device), parameters(device)) == (1, {"score_threshold": 0.6})
    with Model.in_process(NAME, state=device.state) as inside:
        assert (len(inside(SAMPLE).answer), inside.parameters) == (1, {"score_threshold": 0.6})
    set_to(device, 0.4)
    wait_for("0.4", lambda: told(device) == (2, "applied"), timeout_s=PATIENCE_S)
    assert objects(device) == 2

    back = (*COMMAND, "back", "one", NAME)
    device.commands.run(*back)
    wait_for("0.6 again", lambda: told(device) == (3, "applied"), timeout_s=PATIENCE_S)
    assert objects(device) == 1
    device.agent.stop()
    device.agent.start()
    wait_for("the agent again", lambda: _answers(device), timeout_s=PATIENCE_S)
    assert objects(device) == 1
    device.commands.run(*back)
    wait_for("the defaults", lambda: told(device) == (4, "applied"), timeout_s=PATIENCE_S)
    assert (objects(device), parameters(device)) == (3, {})
    with pytest.raises(EdgeKitError, match="defaults hold already"):
        device.commands.run(*back)

    set_to(device, 0.6)
    wait_for("0.6", lambda: told(device) == (5, "applied"), timeout_s=PATIENCE_S)
    roll_out(device, "3", OTHER)
    wait_for("a refusal", lambda: told(device) == (5, "refused"), timeout_s=PATIENCE_S)
    assert (objects(device), parameters(device)) == (3, {"limit": 7})
    status = json.loads((device.state / "status.json").read_bytes())["models"][NAME]
    assert (status["parameters_version"], bool(status["parameters_refused"])) == (5, True)

    versions = device.commands.json(*COMMAND, "history", "one", NAME)
    assert [(v["version"], v["origin"]) for v in versions] == [
        *((1, 1), (2, 2), (3, 1), (4, 0), (5, 5))
    ]
    assert "there is no parameter score_threshold" in versions[-1]["detail"]
    audit = device.commands.run("edgekit", "access", "audit")
    assert f"PUT /api/v1/devices/one/parameters/{NAME}" in audit


def _answers(device: OneDevice) -> bool:
    try:
        return objects(device) >= 0
    except EdgeKitError:
        return False
