"""A conversion that was interrupted goes on where it was, and only one writes into a folder."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from converters.given import package_given
from converters.package import work_folder
from converters.pipeline import convert
from converters.plan import ConversionPlan
from converters.steps import Step
from edgekit.bundle import open_bundle
from edgekit.errors import ConflictError
from edgekit.manifest import Preprocessing
from tests.integration.convert_models import tiny

pytestmark = pytest.mark.integration
CHECKOUT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(1)
PREPROCESSING = '{"height": 8, "width": 8, "scale": 0.0625}'


def planned(tmp_path: Path) -> ConversionPlan:
    images = RNG.integers(0, 17, (120, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "held-out.npz", images=images[:40], labels=np.arange(40) % 10)
    np.savez(tmp_path / "calibration.npz", images=images[40:])
    return ConversionPlan(
        source="tests.integration.convert_models:tiny",
        model="m",
        version="1",
        variants=("onnx-fp32", "onnx-int8"),
        metric="agreement",
        preprocessing=Preprocessing(height=8, width=8, scale=1 / 16),
        calibration=tmp_path / "calibration.npz",
        evaluation=tmp_path / "held-out.npz",
        out=tmp_path / "out",
        cache=tmp_path / "cache",
        allow_slower=True,
    )


@pytest.fixture
def plan(tmp_path: Path) -> ConversionPlan:
    return planned(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> ConversionPlan:
    plan = planned(tmp_path_factory.mktemp("finished"))
    convert(plan)
    return plan


class Seen:
    """Remembers what was done and what was found."""

    def __init__(self, stop: tuple[str, Step] | None = None) -> None:
        self.reused: list[str] = []
        self.steps: set[tuple[str, Step]] = set()
        self._stop = stop

    def __call__(self, name: str, step: Step, done: float) -> None:
        if (name, step) == self._stop:
            raise KeyboardInterrupt
        self.steps.add((name, step))
        if step is Step.REUSED:
            self.reused.append(name)


def test_an_interrupted_conversion_goes_on_where_it_was(plan: ConversionPlan):
    with pytest.raises(KeyboardInterrupt):
        convert(plan, Seen(stop=("onnx-int8", Step.CHECK)))
    assert [p.name for p in plan.out.parent.glob(".out*")] == []
    assert not plan.out.exists()
    seen = Seen()
    report = convert(plan, seen)
    # Samples, the source's answers, both files and the float file's proof had been finished.
    assert sorted(seen.reused) == ["m", "m", "onnx-fp32", "onnx-fp32", "onnx-int8"]
    assert ("onnx-int8", Step.CHECK) in seen.steps
    assert ("onnx-int8", Step.QUANTIZE) not in seen.steps
    fresh = convert(replace(plan, cache=None, out=plan.out.parent / "fresh"))
    assert [v.sha256 for v in report.variants] == [v.sha256 for v in fresh.variants]


@pytest.mark.parametrize("change", ["weights", "evaluation", "calibration", "preprocessing"])
def test_what_depends_on_a_change_is_made_anew(
    finished: ConversionPlan, change: str, tmp_path: Path
):
    assert finished.cache is not None
    plan = replace(finished, cache=tmp_path / "cache")
    shutil.copytree(finished.cache, tmp_path / "cache")
    match change:
        case "weights":
            state = {k: v * 1.01 for k, v in tiny().state_dict().items()}
            torch.save(state, tmp_path / "w.pt")
            changed = replace(plan, weights=tmp_path / "w.pt")
        case "preprocessing":
            changed = replace(plan, preprocessing=Preprocessing(height=8, width=8, scale=1 / 15))
        case what:
            images = RNG.integers(0, 17, (40, 8, 8), dtype=np.uint8)
            np.savez(tmp_path / "other.npz", images=images, labels=np.arange(40) % 10)
            changed = replace(plan, **{what: tmp_path / "other.npz"})  # type: ignore[arg-type]
    seen = Seen()
    report = convert(replace(changed, out=tmp_path / "second"), seen)
    fresh = convert(replace(changed, cache=None, out=tmp_path / "fresh"))
    assert [v.sha256 for v in report.variants] == [v.sha256 for v in fresh.variants]
    wanted = {
        "weights": {"m"},
        "evaluation": {"m", "onnx-fp32", "onnx-int8"},
        "calibration": {"m", "onnx-fp32"},
        "preprocessing": {"m", "onnx-fp32"},
    }
    assert set(seen.reused) == wanted[change]


def test_weights_beside_an_onnx_file_count_as_its_content(plan: ConversionPlan, tmp_path: Path):
    x = onnx.helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, 1, 8, 8])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 10])

    def write(seed: int) -> None:
        weight = np.random.default_rng(seed).normal(size=(64, 10)).astype(np.float32)
        graph = onnx.helper.make_graph(
            [
                onnx.helper.make_node("Flatten", ["input"], ["f"]),
                onnx.helper.make_node("MatMul", ["f", "w"], ["y"]),
            ],
            "g",
            [x],
            [y],
            [onnx.numpy_helper.from_array(weight, "w")],
        )
        opsets = [onnx.helper.make_opsetid("", 18)]
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
        (tmp_path / "w.bin").unlink(missing_ok=True)
        onnx.save(
            model,
            tmp_path / "m.onnx",
            save_as_external_data=True,
            location="w.bin",
            size_threshold=0,
        )

    given = replace(plan, source=str(tmp_path / "m.onnx"), variants=("onnx-fp32",))
    write(1)
    first = convert(given).variants[0].sha256
    write(2)
    seen = Seen()
    assert convert(given, seen).variants[0].sha256 != first
    assert seen.reused == []


def test_a_packaged_file_is_proven_once(plan: ConversionPlan, test_data: Path, tmp_path: Path):
    digits = np.load(test_data / "mnist/mnist_8k.npz")
    np.savez(tmp_path / "d.npz", images=digits["images"][:50], labels=digits["labels"][:50])
    given = replace(
        plan,
        source=str(test_data / "ort_examples/mnist.onnx"),
        variants=("auto",),
        evaluation=tmp_path / "d.npz",
        preprocessing=Preprocessing(height=28, width=28),
    )
    first, seen = package_given(given), Seen()
    again = package_given(given, "", seen)
    assert again.variants[0].sha256 == first.variants[0].sha256
    assert seen.reused == ["m", "onnx-fp32"]


def test_a_second_conversion_into_the_same_folder_is_refused(plan: ConversionPlan):
    with work_folder(plan.out), pytest.raises(ConflictError) as caught:
        convert(plan)
    assert str(caught.value).startswith(f"{plan.out}: another conversion is writing there; wait")
    convert(plan)
    assert {p.name for p in plan.out.parent.iterdir()} == {
        "held-out.npz", "calibration.npz", "out", "cache",
    }  # fmt: skip


def test_what_a_lost_conversion_left_is_removed(plan: ConversionPlan):
    left = plan.out.parent / ".out.work-abc"
    left.mkdir()
    (left / "half").write_text("x")
    convert(plan)
    assert not left.exists()


def command(plan: ConversionPlan) -> list[str]:
    return [
        *(sys.executable, "-m", "edgekit.cli", "convert", plan.source, "--model", plan.model),
        *("--version", plan.version, "--preprocessing", PREPROCESSING),
        *("--evaluation", str(plan.evaluation), "--calibration", str(plan.calibration)),
        *("--target", "onnx-int8,onnx-fp16", "--metric", "agreement", "--out", str(plan.out)),
        "--allow-slower",
    ]


@contextmanager
def started(plan: ConversionPlan, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Convert in a process of its own, which does not outlive the block."""
    environment = {**os.environ, "EDGEKIT_CACHE": str(plan.cache)}
    with log.open("w") as stream:
        process = subprocess.Popen(
            command(plan), cwd=CHECKOUT, env=environment, stderr=stream, stdout=subprocess.DEVNULL
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(2400):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("nothing came")


def test_ctrl_c_at_any_step_leaves_nothing_and_the_next_run_goes_on(plan: ConversionPlan):
    """One conversion, interrupted at three of its steps, ends with the bytes of a single run.

    Behind the last of them lies a whole variant: a signal that comes late still comes in time.
    """
    log = plan.out.parent / "log"
    for step in ("tracing the source", "lowering", "proving"):
        with started(plan, log) as running:
            wait_for(lambda: step in log.read_text() or running.poll() is not None)  # noqa: B023
            running.send_signal(signal.SIGINT)
            assert running.wait(120) == 130, log.read_text()
        assert not plan.out.exists()
        assert [p.name for p in plan.out.parent.glob(".out*")] == []
    with started(plan, log) as running:
        assert running.wait(120) == 0, log.read_text()
    assert "onnx-int8: taking what an earlier run finished" in log.read_text().splitlines()
    alone = replace(plan, variants=("onnx-int8", "onnx-fp16"), cache=None)
    made = convert(replace(alone, out=plan.out.parent / "alone"))
    for variant in made.variants:
        assert open_bundle(plan.out / variant.bundle).sha256 == variant.sha256


def test_a_second_process_that_converts_into_the_folder_ends_with_exit_22(plan: ConversionPlan):
    log, second = plan.out.parent / "log", plan.out.parent / "second"
    with started(plan, log) as first:
        wait_for(lambda: "tracing" in log.read_text() or first.poll() is not None)
        first.send_signal(signal.SIGSTOP)
        with started(plan, second) as other:
            assert other.wait(120) == ConflictError.exit_code, second.read_text()
        first.send_signal(signal.SIGCONT)
        assert first.wait(120) == 0, log.read_text()
    (line,) = second.read_text().splitlines()
    assert line.startswith(f"edgekit: {plan.out}: another conversion is writing there")
    assert len(list(plan.out.glob("*.bundle"))) == 2
