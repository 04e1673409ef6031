"""Waveforms to a real worker: features by the manifest, proven by the code that answers."""

from __future__ import annotations

import http.client
import io
import json
import wave
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from converters.api import read_preprocessing
from converters.given import package_given
from converters.pipeline import convert
from converters.plan import ConversionPlan
from device_agent import Model
from device_agent.config import Config, Layout
from device_agent.slots import SlotStore
from device_agent.supervisor import Supervisor
from edgekit.bundle import AUDIO, Bundle, open_bundle
from edgekit.errors import DataError
from edgekit.golden import check_golden, read_golden
from edgekit.manifest import Preprocessing
from edgekit.preprocessing import prepare
from edgekit.runtime import open_session

pytestmark = pytest.mark.integration

RATE = 8000
LABELS = ("low", "middle", "high")
TONES = read_preprocessing(
    '{"height": 24, "width": 20, "layout": "nhwc", "audio": {"sample_rate_hz": 8000,'
    '"frame_length": 256, "hop_length": 160, "fft_size": 256, "mel_bands": 20,'
    '"fmin_hz": 60, "fmax_hz": 4000}}'
)
SPOKEN = read_preprocessing(
    '{"height": 49, "width": 20, "audio": {"sample_rate_hz": 8000, "frame_length": 256,'
    '"hop_length": 160, "fft_size": 256, "mel_bands": 40, "fmin_hz": 60, "fmax_hz": 4000,'
    '"mfcc_count": 20, "normalize": "sample", "pad": true}}'
)


def tones(count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy tones [count, 3936], int16, and which of three ranges their pitch is in."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    pitches_hz = np.array([300, 900, 2700])[labels] * rng.uniform(0.8, 1.25, count)
    seconds = np.arange(256 + 23 * 160) / RATE
    waves = np.sin(2 * np.pi * pitches_hz[:, None] * seconds) * rng.uniform(0.1, 0.8, (count, 1))
    return ((waves + rng.normal(0, 0.02, waves.shape)) * 32767).astype(np.int16), labels


def fitted_model(path: Path, waves: np.ndarray, labels: np.ndarray, spec: Preprocessing) -> Path:
    """Write an ONNX classifier: ridge regression on the features, then a softmax."""
    rows = np.stack([prepare(one, spec).ravel() for one in waves]).astype(np.float64)
    middle, deviation = rows.mean(axis=0), rows.std(axis=0) + 1e-3
    rows = (rows - middle) / deviation
    wanted = np.eye(labels.max() + 1)[labels] * 20 - 10
    weights = np.linalg.solve(rows.T @ rows + 100 * np.eye(rows.shape[1]), rows.T @ wanted)
    bias = wanted.mean(axis=0) - (middle / deviation) @ weights
    weights /= deviation[:, None]
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["x"], ["flat"]),
            helper.make_node("Gemm", ["flat", "w", "b"], ["sums"]),
            helper.make_node("Softmax", ["sums"], ["scores"]),
        ],
        "sounds",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, prepare(waves[0], spec).shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, len(bias)])],
        [
            numpy_helper.from_array(weights.astype(np.float32), "w"),
            numpy_helper.from_array(bias.astype(np.float32), "b"),
        ],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def packaged(
    folder: Path, model: Path, held_out: tuple[np.ndarray, np.ndarray], **plan: Any
) -> tuple[Bundle, float | None]:
    """Return the bundle that `edgekit package` makes of a model, and its accuracy."""
    np.savez(folder / "held-out.npz", images=held_out[0], labels=held_out[1])
    (told,) = package_given(
        ConversionPlan(
            source=str(model),
            model="sounds",
            version="1.0.0",
            variants=("onnx-fp32",),
            evaluation=folder / "held-out.npz",
            out=folder / "out",
            **plan,
        )
    ).variants
    return open_bundle(folder / "out" / told.bundle), told.accuracy


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    layout = Layout(tmp_path / "state")
    layout.folder.mkdir()
    supervisor = Supervisor(Config(drain_s=1.0), layout, boot_id="boot")
    yield supervisor
    supervisor.stop()


def serve(supervisor: Supervisor, tmp_path: Path, bundle: Bundle) -> None:
    slots = SlotStore(tmp_path / "state" / "models").of("sounds")
    slots.stage(bundle.path, bundle.sha256)
    slots.commit(bundle.sha256)
    supervisor.serve("sounds", bundle.sha256)
    assert supervisor.wait_serving("sounds", timeout_s=90)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    model = fitted_model(tmp_path / "tones.onnx", *tones(60, seed=0), TONES)
    made, accuracy = packaged(
        tmp_path, model, tones(30, seed=1), preprocessing=TONES, labels=LABELS
    )
    assert accuracy == 1.0
    return made


def asked(supervisor: Supervisor, method: str, head: Any = None, blob: bytes = b"") -> Any:
    """Return status and answer of the worker's inference server."""
    port = int(supervisor.view()["sounds"].address.rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    data = b"" if head is None else json.dumps({"inputs": [head]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(data))} if blob else {}
    path = "/v2/models/sounds" + ("/infer" if method == "POST" else "")
    connection.request(method, path, data + blob, headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def samples(waveform: np.ndarray, datatype: str = "INT16", **parameters: Any) -> dict[str, Any]:
    return {
        "name": "audio",
        "shape": list(waveform.shape),
        "datatype": datatype,
        "parameters": parameters,
        "data": waveform.tolist(),
    }


def file_of(waveform: np.ndarray, *, rate: int = RATE) -> tuple[dict[str, Any], bytes]:
    """Return a WAV file as one BYTES element."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(waveform.tobytes())
    blob = len(out.getvalue()).to_bytes(4, "little") + out.getvalue()
    size = {"binary_data_size": len(blob)}
    return {"name": "audio", "shape": [1], "datatype": "BYTES", "parameters": size}, blob


def test_golden_samples_are_waveforms_and_an_older_reader_is_told(bundle: Bundle, tmp_path: Path):
    manifest, golden = bundle.manifest, read_golden(bundle)
    assert manifest.features == (AUDIO,)
    assert manifest.preprocessing == TONES
    assert golden.inputs.dtype == np.int16
    assert golden.inputs.shape[1:] == (3936,)
    bundle.extract(tmp_path / "files")
    session = open_session(tmp_path / "files" / manifest.file, manifest.format)
    assert check_golden(session, golden, manifest) <= manifest.golden.atol


def test_a_conversion_is_calibrated_and_proven_on_waveforms(tmp_path: Path):
    source = fitted_model(tmp_path / "tones.onnx", *tones(60, seed=0), TONES)
    waves, labels = tones(120, seed=1)
    np.savez(tmp_path / "calibration.npz", images=waves[:64])
    np.savez(tmp_path / "held-out.npz", images=waves[64:], labels=labels[64:])
    plan = ConversionPlan(
        source=str(source),
        model="sounds",
        version="1.0.0",
        variants=("onnx-fp32", "onnx-int8"),
        preprocessing=TONES,
        labels=LABELS,
        calibration=tmp_path / "calibration.npz",
        evaluation=tmp_path / "held-out.npz",
        allow_slower=True,
        out=tmp_path / "out",
    )
    report = convert(plan)
    assert [v.accuracy for v in report.variants] == pytest.approx([1.0, 1.0], abs=0.02)
    for told in report.variants:
        made = open_bundle(plan.out / told.bundle)
        assert made.manifest.features == (AUDIO,)
        assert read_golden(made).inputs.dtype == np.int16


def test_a_waveform_gets_its_class_however_it_comes(
    bundle: Bundle, supervisor: Supervisor, tmp_path: Path
):
    (tmp_path / "model.onnx").write_bytes(bundle.read("model.onnx"))
    serve(supervisor, tmp_path, bundle)
    _, meta = asked(supervisor, "GET")
    assert meta["parameters"]["raw_input"] == "audio"
    assert (meta["parameters"]["sample_rate_hz"], meta["parameters"]["samples"]) == (RATE, 3936)
    session = open_session(tmp_path / "model.onnx", bundle.manifest.format)
    waves, labels = tones(3, seed=2)
    with (
        Model.active("sounds", state=tmp_path / "state") as model,
        Model.in_process("sounds", state=tmp_path / "state") as inside,
    ):
        for waveform, label in zip(waves, labels, strict=True):
            scores = session.run([prepare(waveform, TONES)])[0]
            floats = (waveform / 32768).astype(np.float32)
            for status, answer in (
                asked(supervisor, "POST", samples(waveform)),
                asked(supervisor, "POST", samples(floats, "FP32", sample_rate_hz=RATE)),
                asked(supervisor, "POST", *file_of(waveform)),
            ):
                assert (status, answer["parameters"]["label"]) == (200, LABELS[label])
                assert answer["outputs"][0]["data"] == pytest.approx(scores[0].tolist(), rel=1e-5)
            assert model(waveform).label == inside(floats).label == LABELS[label]


def test_a_waveform_of_another_rate_or_length_is_the_clients_fault_and_named(
    bundle: Bundle, supervisor: Supervisor, tmp_path: Path
):
    serve(supervisor, tmp_path, bundle)
    waveform = tones(1, seed=3)[0][0]
    for given, reason in (
        ((samples(waveform, sample_rate_hz=16000),), "sampled at 16000 Hz, the model takes 8000"),
        (file_of(waveform, rate=44100), "sampled at 44100 Hz"),
        ((samples(waveform[:-1]),), "too short, the model takes 3936"),
        ((samples(waveform[None]),), "one channel"),
        ((samples(waveform, "INT32"),), "int16 or float32"),
    ):
        status, answer = asked(supervisor, "POST", *given)
        assert status == 400
        assert reason in answer["error"]
    with (
        Model.active("sounds", state=tmp_path / "state") as model,
        pytest.raises(DataError, match="too long"),
    ):
        model(np.concatenate([waveform, waveform]))
    status, answer = asked(supervisor, "POST", samples(waveform))
    assert status == 200


def test_spoken_digits_are_proven_on_waveforms_and_recognised_by_the_worker(
    test_data: Path, supervisor: Supervisor, tmp_path: Path
):
    with np.load(test_data / "fsdd" / "fsdd_5_speakers.npz") as archive:
        whole, offsets = archive["samples"], archive["offsets"]
        labels, held_out = archive["labels"].astype(np.int64), archive["indices"] < 5
    spoken = [whole[a:b] for a, b in pairwise(offsets)]
    waves = np.zeros((len(labels), 256 + 48 * 160), np.int16)
    for row, one in zip(waves, spoken, strict=True):
        row[: len(one)] = one[: len(row)]
    model = fitted_model(tmp_path / "digits.onnx", waves[~held_out], labels[~held_out], SPOKEN)
    names = tuple("0123456789")
    kept = (waves[held_out], labels[held_out])
    bundle, accuracy = packaged(tmp_path, model, kept, preprocessing=SPOKEN, labels=names)
    serve(supervisor, tmp_path, bundle)
    with Model.active("sounds", state=tmp_path / "state") as client:
        said = [
            int(client(one).label) for one, held in zip(spoken, held_out, strict=True) if held
        ]  # whole recordings of any length: the worker pads and cuts them
    assert np.mean(np.array(said) == labels[held_out]) == pytest.approx(accuracy)
    assert accuracy is not None
    assert accuracy > 0.85
