"""Bad input gets one line that names the file and the reason, an exit code, and leaves nothing."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from converters.pipeline import convert
from converters.plan import ConversionPlan, parse_input
from edgekit.errors import (
    DataError,
    EdgeKitError,
    MissingExtraError,
    ProofError,
    SourceError,
    StorageError,
    TargetError,
    UsageError,
)
from edgekit.manifest import Postprocessing, Preprocessing, Task
from tests.integration.convert_models import tiny

pytestmark = pytest.mark.integration
CHECKOUT = Path(__file__).resolve().parents[2]
MODELS = "tests.integration.convert_models"
RNG = np.random.default_rng(0)


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., ConversionPlan]:
    images = RNG.integers(0, 17, (100, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "held-out.npz", images=images[:40], labels=np.arange(40) % 10)
    np.savez(tmp_path / "calibration.npz", images=images[40:])

    def make(**changes: object) -> ConversionPlan:
        given: dict[str, object] = {
            "source": f"{MODELS}:tiny",
            "model": "m",
            "version": "1",
            "variants": ("onnx-fp32",),
            "preprocessing": Preprocessing(height=8, width=8, scale=1 / 16),
            "calibration": tmp_path / "calibration.npz",
            "evaluation": tmp_path / "held-out.npz",
            "out": tmp_path / "out",
            "allow_slower": True,
        }
        return ConversionPlan(**{**given, **changes})  # type: ignore[arg-type]

    return make


def refusal(plan: ConversionPlan, kind: type[EdgeKitError]) -> str:
    """Convert, expect one line of that kind and nothing left behind."""
    before = sorted(plan.out.parent.iterdir())
    with pytest.raises(kind) as caught:
        convert(plan)
    assert type(caught.value) is kind
    assert sorted(plan.out.parent.iterdir()) == before
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.mark.parametrize(
    ("source", "kind", "reason"),
    [
        ("nonsense", SourceError, "nonsense: is no source; name package.module:function"),
        ("net.py", SourceError, "net.py: is no source; name net:function, a .onnx or a .pt2 file"),
        ("no.such.module:f", SourceError, "there is no module no"),
        (f"{MODELS}:absent", SourceError, "has no function absent; it has Branching, Eigenvalues"),
        ("net.py:net", SourceError, "; name it without .py: net:net"),
        (f"{MODELS}:NoForward", SourceError, "NoForward has no forward"),
        (f"{MODELS}:not_a_module", SourceError, "returned dict, not a torch.nn.Module"),
        (f"{MODELS}:fails", SourceError, "the factory fails (ValueError: the layers do not"),
        (f"{MODELS}:not_finite", SourceError, "1.weight hold values that are not finite"),
        (f"{MODELS}:constant", ProofError, "does not vary over 40 samples"),
        ("model.pt", SourceError, "pass the file with --weights"),
        ("absent.onnx", SourceError, "absent.onnx: cannot read (No such file or directory)"),
    ],
)
def test_a_source_that_cannot_be_converted_is_refused(
    plan: Callable[..., ConversionPlan], source: str, kind: type[EdgeKitError], reason: str
):
    assert reason in refusal(plan(source=source), kind)


def line_of(text: str) -> int:
    lines = (CHECKOUT / "tests/integration/convert_models.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


def test_a_branch_on_values_is_named_with_its_line(plan: Callable[..., ConversionPlan]):
    line = refusal(plan(source=f"{MODELS}:Branching"), SourceError)
    assert f"convert_models.py:{line_of('the line that the refusal names')}: torch cannot" in line


def test_an_operator_that_onnx_lacks_is_named_with_its_line(
    plan: Callable[..., ConversionPlan],
):
    line = refusal(plan(source=f"{MODELS}:Eigenvalues"), TargetError)
    assert f"convert_models.py:{line_of('# the operator')}: " in line
    assert "onnx cannot express the operator aten._linalg_eigh" in line


@pytest.mark.parametrize(
    ("changes", "kind", "reason"),
    [
        (
            {"preprocessing": Preprocessing(height=9, width=8)},
            DataError,
            "held-out.npz sample 0: a sample is 8x8 pixels, the model takes 9x8",
        ),
        (
            {"preprocessing": None, "inputs": (parse_input("x=1x8x8:float32"),)},
            SourceError,
            "takes x=1x8x8:float32, a prepared sample is 1x8x8:uint8",
        ),
        (
            {"preprocessing": None},
            SourceError,
            "the shape of its input is unknown; give --input",
        ),
        (
            {"postprocessing": Postprocessing(task=Task.DETECTION)},
            DataError,
            "held-out.npz: an output of shape [1, 10] is no detection, as --postprocessing says",
        ),
        ({"labels": ("a", "b")}, DataError, "2 labels for 10 classes"),
        (
            {"preprocessing": Preprocessing(height=8, width=8, scale=1 / 4096)},
            DataError,
            "holds values from 0 to 16, and the preprocessing makes a range of 0.0039",
        ),
        ({"out": Path(__file__)}, UsageError, "test_convert_errors.py: is a file; name a folder"),
        ({"calibration": None, "variants": ("onnx-int8",)}, DataError, "give --calibration"),
        ({"variants": ("onnx-int3",)}, UsageError, "choose from onnx-fp32, onnx-fp16, onnx-int8"),
        ({"evaluation": Path("absent.npz")}, DataError, "absent.npz: cannot read (No such file"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    plan: Callable[..., ConversionPlan],
    changes: dict[str, object],
    kind: type[EdgeKitError],
    reason: str,
):
    assert reason in refusal(plan(**changes), kind)


def test_an_input_of_the_wrong_shape_names_torch_s_reason(
    plan: Callable[..., ConversionPlan], tmp_path: Path
):
    images = RNG.integers(0, 17, (40, 6, 6), dtype=np.uint8)
    np.savez(tmp_path / "held-out.npz", images=images, labels=np.arange(40) % 10)
    line = refusal(plan(preprocessing=Preprocessing(height=6, width=6)), SourceError)
    assert "forward fails on an input of 1x1x6x6 float32 (mat1 and mat2 shapes" in line


@pytest.mark.parametrize(
    ("name", "arrays", "reason"),
    [
        ("held-out.npz", {"images": np.zeros((0, 8, 8))}, "holds no samples"),
        ("held-out.npz", {"images": np.ones((40, 8, 8))}, "holds no labels"),
        ("held-out.npz", {"x": np.ones((40, 8, 8))}, "no array named images (it has x); write it"),
        (
            "held-out.npz",
            {"images": np.arange(2560.0).reshape(40, 8, 8), "labels": np.arange(40) % 10 + 1},
            "label 10 is beyond the model's 10 classes; labels are class indices, 0 to 9",
        ),
        ("calibration.npz", {"images": np.zeros((0, 8, 8))}, "holds no samples"),
        ("calibration.npz", {"images": np.ones((64, 8, 8), np.uint8)}, "samples are constant"),
        ("calibration.npz", {"images": RNG.random((31, 8, 8))}, "only 31 samples"),
    ],
)
def test_data_that_says_nothing_is_refused(
    plan: Callable[..., ConversionPlan],
    tmp_path: Path,
    name: str,
    arrays: dict[str, np.ndarray],
    reason: str,
):
    np.savez(tmp_path / name, **arrays)  # type: ignore[arg-type]
    line = refusal(plan(variants=("onnx-int8",)), DataError)
    assert name in line
    assert reason in line


def test_weights_that_do_not_match_are_refused_by_key(
    plan: Callable[..., ConversionPlan], tmp_path: Path
):
    state = tiny().state_dict()
    del state["5.bias"]
    state["6.extra"] = torch.zeros(1)
    state["0.bias"] = torch.zeros(9)
    torch.save(state, tmp_path / "w.pt")
    line = refusal(plan(weights=tmp_path / "w.pt"), SourceError)
    assert "w.pt: the weights do not match Sequential: missing 5.bias, unexpected 6.extra" in line
    assert "of another shape 0.bias [9] for [8]" in line


def test_a_pickled_object_is_never_loaded(plan: Callable[..., ConversionPlan], tmp_path: Path):
    torch.save(tiny(), tmp_path / "w.pt")
    line = refusal(plan(weights=tmp_path / "w.pt"), SourceError)
    assert "holds no plain weights (objects are not unpickled)" in line


def test_weights_of_data_parallel_training_are_taken(
    plan: Callable[..., ConversionPlan], tmp_path: Path
):
    state = {f"module.{key}": value for key, value in tiny().state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "w.pt")
    assert len(convert(plan(weights=tmp_path / "w.pt")).variants) == 1


def test_an_operator_of_another_maker_in_an_onnx_file_is_named(
    plan: Callable[..., ConversionPlan], tmp_path: Path
):
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Decode", ["x"], ["y"], domain="ai.elsewhere")],
        "custom",
        [value("x", onnx.TensorProto.FLOAT, [1, 1, 8, 8])],
        [value("y", onnx.TensorProto.FLOAT, [1, 10])],
    )
    onnx.save(onnx.helper.make_model(graph), tmp_path / "custom.onnx")
    line = refusal(plan(source=str(tmp_path / "custom.onnx")), TargetError)
    assert "custom.onnx: no target can express the operator ai.elsewhere:Decode" in line


def test_a_file_that_is_no_onnx_is_refused(plan: Callable[..., ConversionPlan], tmp_path: Path):
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x09nonsense" * 20)
    assert "broken.onnx" in refusal(plan(source=str(tmp_path / "broken.onnx")), SourceError)


def test_a_missing_library_is_named_with_the_pip_command(
    plan: Callable[..., ConversionPlan], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "litert_torch", None)
    line = refusal(plan(variants=("tflite-fp32",)), MissingExtraError)
    assert "pip install 'edgekit[convert]'" in line
    assert "litert-torch" in line


def command(plan: ConversionPlan, before: str = "") -> list[str]:
    start = f"import sys; {before}from edgekit.cli import main; sys.exit(main())"
    return [
        *(sys.executable, "-c", start, "convert", plan.source, "--model", plan.model),
        *("--version", plan.version, "--preprocessing", '{"height": 8, "width": 8}'),
        *("--evaluation", str(plan.evaluation), "--calibration", str(plan.calibration)),
        *("--target", ",".join(plan.variants), "--out", str(plan.out)),
        *("--allow-slower", "--no-cache"),
    ]


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=120, cwd=CHECKOUT
    )


@pytest.mark.parametrize("variant", ["onnx-fp32", "onnx-int8", "tflite-fp32"])
def test_a_disk_without_room_leaves_nothing_half_written(
    plan: Callable[..., ConversionPlan], tmp_path: Path, variant: str
):
    """A limit on the size of files stands for a full disk: the same call fails the same way."""
    made = plan(variants=(variant,))
    before = sorted(tmp_path.iterdir())
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
    done = run(command(made, limit))
    assert done.returncode == StorageError.exit_code, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"edgekit: {made.out}: cannot write")
    assert sorted(tmp_path.iterdir()) == before


def test_an_operator_that_tflite_lacks_is_named_with_its_line(
    plan: Callable[..., ConversionPlan],
):
    done = run(command(plan(source=f"{MODELS}:Eigenvalues", variants=("tflite-fp32",))))
    assert done.returncode == TargetError.exit_code
    line = done.stderr.splitlines()[-1]
    assert f"convert_models.py:{line_of('# the operator')}: " in line
    assert "tflite cannot express the operator aten._linalg_eigh" in line


def test_the_command_ends_with_one_line_and_the_exit_code(plan: Callable[..., ConversionPlan]):
    done = run(command(plan(source=f"{MODELS}:NoForward")))
    assert done.returncode == SourceError.exit_code
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "m: tracing the source",
        f"edgekit: {MODELS}:NoForward: NoForward has no forward",
    ]
