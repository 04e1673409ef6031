"""Preflight names what will not run and where it stands, before any conversion."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from converters.plan import ConversionPlan, parse_input
from converters.preflight import Finding, preflight
from converters.profiles import Profile, read_profile, shipped
from edgekit.errors import UsageError

pytestmark = pytest.mark.integration
CHECKOUT = Path(__file__).resolve().parents[2]
MODELS = "tests.integration.convert_models"
IMAGE = parse_input("x=1x1x8x8:float32")


def found(source: str, *profiles: Profile) -> list[Finding]:
    asked = ConversionPlan(
        source=source,
        model="m",
        version="0",
        variants=("none",),
        evaluation=Path(),
        out=Path(),
        inputs=(IMAGE,),
    )
    return preflight(asked, profiles)


def line_of(text: str) -> int:
    lines = (CHECKOUT / "tests/integration/convert_models.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_profile_is_read_and_says_that_it_is_unmeasured(name: str):
    profile = read_profile(name)
    assert profile.name == name
    assert profile.unmeasured
    assert profile.targets


@pytest.mark.parametrize("name", shipped())
def test_a_plain_network_runs_everywhere(name: str):
    assert found(f"{MODELS}:tiny", read_profile(name)) == []


def test_an_operator_is_named_for_each_target_with_its_line():
    told = found(f"{MODELS}:Eigenvalues", read_profile("x86-64-avx2"))
    assert {f.target for f in told} == {"onnx", "openvino", "tflite"}
    for finding in told:
        assert "eigh" in finding.what
        assert finding.where.endswith(f"convert_models.py:{line_of('# the operator')}")


def test_an_onnx_file_newer_than_the_runtime_is_named(tmp_path: Path):
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])],
        "new",
        [value("x", onnx.TensorProto.FLOAT, [1])],
        [value("y", onnx.TensorProto.FLOAT, [1])],
    )
    opset = onnx.helper.make_opsetid("", 23)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10)
    onnx.save(model, tmp_path / "new.onnx")
    (told,) = found(str(tmp_path / "new.onnx"), read_profile("jetson-orin"))
    assert told.what == "opset 23, its runtime reads 21"
    assert found(str(tmp_path / "new.onnx"), read_profile("x86-64-vnni")) == []


def test_a_user_s_own_profile_is_read_and_a_wrong_key_refused(tmp_path: Path):
    text = (
        "{name: mine, arch: x, runtimes: {litert: '2'}, providers: [cpu], targets: [tflite-int8]}"
    )
    (tmp_path / "mine.yaml").write_text(text)
    assert read_profile(str(tmp_path / "mine.yaml")).name == "mine"
    (tmp_path / "mine.yaml").write_text(text.replace("arch", "archh"))
    with pytest.raises(UsageError, match="unknown key archh"):
        read_profile(str(tmp_path / "mine.yaml"))
    with pytest.raises(UsageError, match=r"'nothing' is no profile; use .*jetson-orin"):
        read_profile("nothing")


@pytest.mark.parametrize(("model", "code"), [("tiny", 0), ("Eigenvalues", 1)])
def test_the_command_ends_with_a_code_for_ci(model: str, code: int):
    words = [sys.executable, "-m", "edgekit.cli", "preflight", f"{MODELS}:{model}"]
    words += ["--input", "x=1x1x8x8:float32", "--profile", "x86-64-vnni"]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=300, cwd=CHECKOUT
    )
    assert done.returncode == code, done.stderr
    assert ("nothing stands in the way" if code == 0 else "convert_models.py:") in done.stdout
