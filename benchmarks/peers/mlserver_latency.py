"""Times MLServer: `python -m ... MODEL DTYPE RUNS`, in an environment of its own.

Serves the model by ONNX Runtime in one process, without metrics, and asks over REST (JSON: it has
no binary extension there) and over gRPC (raw contents). Prints samples in ms by name as JSON.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
from mlserver.grpc import (
    dataplane_pb2 as pb,
)
from mlserver.grpc.dataplane_pb2_grpc import (
    GRPCInferenceServiceStub,
)

SHAPE = [1, 3, 224, 224]
START_S = 60.0
JSON_SHARE = 20
"""JSON of an image takes so long that one query of it stands for this many of gRPC."""
RUNTIME = """
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Bare(MLModel):
    async def load(self):
        self._session = onnxruntime.InferenceSession(self.settings.parameters.uri)
        return True

    async def predict(self, payload):
        out = self._session.run(None, {"x": NumpyCodec.decode_input(payload.inputs[0])})[0]
        outputs = [NumpyCodec.encode_output("scores", out)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
"""


def main(model: Path, dtype: str, runs: int) -> None:
    """Serve, ask, print."""
    ports = _free_ports(2)
    with tempfile.TemporaryDirectory() as folder:
        _write_repository(Path(folder), model, ports)
        server = subprocess.Popen(
            [str(Path(sys.executable).parent / "mlserver"), "start", folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            _until_ready(ports[0])
            sys.stdout.write(json.dumps(_measured(ports, dtype, runs)))
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _measured(ports: list[int], dtype: str, runs: int) -> dict[str, list[float]]:
    values = np.random.default_rng(3).integers(0, 255, SHAPE).astype(dtype)
    rest, raw = _rest(ports[0], values), _raw(ports[1], values)
    return {
        "MLServer, REST (JSON)": _times(rest, max(10, runs // JSON_SHARE)),
        "MLServer, gRPC (raw)": _times(raw, runs),
    }


def _times(ask: Callable[[], object], runs: int) -> list[float]:
    for _ in range(max(3, runs // 10)):
        ask()
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - began) * 1e3)
    return taken


def _rest(port: int, values: np.ndarray) -> Callable[[], object]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    kind = "FP32" if values.dtype == np.float32 else "UINT8"

    def ask() -> object:
        one = {"name": "x", "shape": SHAPE, "datatype": kind, "data": values.ravel().tolist()}
        body = json.dumps({"inputs": [one]})
        connection.request("POST", "/v2/models/image/infer", body)
        answer = connection.getresponse()
        return json.loads(answer.read())["outputs"][0]["data"]

    return ask


def _raw(port: int, values: np.ndarray) -> Callable[[], object]:
    stub = GRPCInferenceServiceStub(grpc.insecure_channel(f"127.0.0.1:{port}"))
    kind = "FP32" if values.dtype == np.float32 else "UINT8"
    one = pb.ModelInferRequest.InferInputTensor(name="x", datatype=kind, shape=SHAPE)

    def ask() -> object:
        request = pb.ModelInferRequest(
            model_name="image", inputs=[one], raw_input_contents=[values.tobytes()]
        )
        return np.frombuffer(stub.ModelInfer(request).raw_output_contents[0], np.float32)

    return ask


def _write_repository(folder: Path, model: Path, ports: list[int]) -> None:
    settings = {"http_port": ports[0], "grpc_port": ports[1], "host": "127.0.0.1"}
    settings |= {"parallel_workers": 0, "metrics_endpoint": None, "debug": False}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "bare.py").write_text(RUNTIME)
    told = {"name": "image", "implementation": "bare.Bare", "parameters": {"uri": str(model)}}
    (folder / "model-settings.json").write_text(json.dumps(told))


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def _until_ready(port: int) -> None:
    deadline = time.monotonic() + START_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/v2/models/image/ready")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
        finally:
            connection.close()
        time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
