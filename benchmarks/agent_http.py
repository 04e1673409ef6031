"""What does HTTP cost per inference, for an image tensor 1x3x224x224 with binary tensors?

Ours: the worker of an agent over loopback TCP and over its Unix socket, and the library. Baselines:
the bare session in this process, and the smallest server that Python's standard library allows,
which takes the same bytes and runs the same session.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from device_agent import Model
from device_agent.config import Config, Layout
from device_agent.seats import FrontView
from device_agent.slots import SlotStore
from device_agent.supervisor import Supervisor
from edgekit import codec
from edgekit.bench import Effort, Result, measure, ratio, summarize
from edgekit.bundle import Bundle, write_bundle
from edgekit.device import Requirements, RuntimeRange
from edgekit.golden import compute_golden, golden_files
from edgekit.manifest import (
    GoldenSpec,
    Lineage,
    Manifest,
    ModelFormat,
    Precision,
    Quality,
    TensorSpec,
)
from edgekit.runtime import open_session
from edgekit.runtime.base import Tensor

QUESTION = "latency of one inference over HTTP"
SHAPE = (1, 3, 224, 224)
STUB = """
import socket, sys
import numpy as np
import onnxruntime
from http.server import BaseHTTPRequestHandler, HTTPServer
session = onnxruntime.InferenceSession(sys.argv[1])
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        x = np.frombuffer(body, sys.argv[2]).reshape(1, 3, 224, 224)
        out = session.run(None, {"x": x})[0].tobytes()
        self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(out) + out)
    def log_message(self, *args): pass
server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def run(short: bool) -> list[Result]:
    """Measure float32 and uint8 inputs."""
    effort = Effort(warmup_runs=50, num_runs=300 if short else 5000, min_secs=1.0)
    results: list[Result] = []
    for dtype in ("float32", "uint8"):
        with tempfile.TemporaryDirectory() as folder:
            results += _compare(Path(folder), dtype, effort)
    return results


def _compare(folder: Path, dtype: str, effort: Effort) -> list[Result]:
    return results_of(QUESTION, dtype, measured(folder, dtype, effort))


def measured(folder: Path, dtype: str, effort: Effort) -> dict[str, list[float]]:
    """Return samples in ms by candidate, the bare session first, taken in turns.

    The model is left in `folder` as model.onnx.
    """
    rng = np.random.default_rng(3)
    bundle = _bundle(folder, dtype)
    tensor = rng.integers(0, 255, SHAPE).astype(dtype)
    session = open_session(folder / "model.onnx", ModelFormat.ONNX)
    with _agent(folder, bundle) as front, _stub(folder, dtype) as stub:
        candidates: dict[str, Callable[[], object]] = {
            "bare session": lambda: session.run([tensor]),
            "stdlib stub": _asking(stub, "/", tensor.tobytes(), {}),
            "agent, TCP": _binary(front, tensor),
            "agent, Unix socket": _binary(front, tensor, unix=True),
        }
        with Model.active("image", state=folder / "state") as model:
            candidates["library"] = lambda: model(tensor[0])
            return measure(candidates, effort)


def results_of(question: str, dtype: str, samples: Mapping[str, list[float]]) -> list[Result]:
    """Return a result a candidate; the first one counts as 1."""
    rng = np.random.default_rng(3)
    bare = next(iter(samples.values()))
    return [
        Result(
            question=question,
            candidate=name,
            condition=f"1x3x224x224 {dtype}",
            summary=summarize(taken, unit="ms"),
            ratio=None if taken is bare else ratio(taken, bare, rng=rng),
            numbers={"above_session_ms": float(np.median(taken) - np.median(bare))},
        )
        for name, taken in samples.items()
    ]


def _binary(front: FrontView, tensor: Tensor, *, unix: bool = False) -> Callable[[], object]:
    one = {
        "name": "x",
        "shape": list(SHAPE),
        "datatype": "FP32" if tensor.dtype == np.float32 else "UINT8",
        "parameters": {"binary_data_size": tensor.nbytes},
    }
    head = codec.encode({"inputs": [one], "parameters": {"binary_data_output": True}})
    headers = {"Inference-Header-Content-Length": str(len(head))}
    connection = http.client.HTTPConnection("127.0.0.1", int(front.address.rpartition(":")[2]))
    if unix:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(front.unix)
    return _asking(connection, "/v2/models/image/infer", head + tensor.tobytes(), headers)


def _asking(
    connection: http.client.HTTPConnection, path: str, body: bytes, headers: dict[str, str]
) -> Callable[[], object]:
    def ask() -> bytes:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        return response.read()

    return ask


@contextmanager
def _agent(folder: Path, bundle: Bundle) -> Iterator[FrontView]:
    layout = Layout(folder / "state")
    layout.folder.mkdir()
    supervisor = Supervisor(Config(), layout, boot_id="benchmark")
    try:
        slots = SlotStore(layout.models).of("image")
        slots.stage(bundle.path, bundle.sha256)
        supervisor.serve("image", bundle.sha256)
        supervisor.wait_serving("image", timeout_s=30)
        yield supervisor.view()["image"]
    finally:
        supervisor.stop()


@contextmanager
def _stub(folder: Path, dtype: str) -> Iterator[http.client.HTTPConnection]:
    process = subprocess.Popen(
        [sys.executable, "-c", STUB, str(folder / "model.onnx"), dtype], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield http.client.HTTPConnection("127.0.0.1", port)
    finally:
        process.kill()
        process.wait()


def _bundle(folder: Path, dtype: str) -> Bundle:
    """Write a model that averages an image: the cost is in the transport, not in the model."""
    kind = TensorProto.FLOAT if dtype == "float32" else TensorProto.UINT8
    nodes = [
        helper.make_node("Slice", ["x", "zero", "few", "axis"], ["part"]),
        helper.make_node("Cast", ["part"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("GlobalAveragePool", ["f"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("x", kind, SHAPE)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
        [
            numpy_helper.from_array(np.array([value], np.int64), name)
            for name, value in (("zero", 0), ("few", 8), ("axis", 2))
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    session = open_session(folder / "model.onnx", ModelFormat.ONNX)
    golden = compute_golden(session, [np.zeros(SHAPE[1:], dtype)], None)
    manifest = Manifest(
        model="image",
        version="1.0.0",
        variant="onnx",
        format=ModelFormat.ONNX,
        precision=Precision.FP32,
        file="model.onnx",
        inputs=(TensorSpec(name="x", shape=SHAPE, dtype=dtype),),
        outputs=(TensorSpec(name="scores", shape=(1, 3), dtype="float32"),),
        requires=Requirements(runtimes=(RuntimeRange(name="onnxruntime"),)),
        golden=GoldenSpec(count=1, atol=1e-4),
        quality=Quality(
            metric="parity",
            samples=1,
            accuracy=None,
            reference_accuracy=None,
            max_abs_diff=0.0,
            sqnr_db=0.0,
            agreement=1.0,
        ),
        lineage=Lineage(source="benchmark", digests={}, recipe="none", tools={}),
    )
    files = {"model.onnx": (folder / "model.onnx").read_bytes(), **golden_files(golden)}
    return write_bundle(folder / "image.bundle", manifest, files)
