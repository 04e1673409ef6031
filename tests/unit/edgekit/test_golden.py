from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgekit.bundle import SEVERAL_INPUTS, write_bundle
from edgekit.errors import BundleError, ProofError
from edgekit.golden import GoldenSamples, check_golden, compute_golden, golden_files, read_golden
from edgekit.manifest import (
    GoldenSpec,
    Preprocessing,
    TensorSpec,
)
from edgekit.runtime import Tensor
from tests.manifests import PLAIN

OUTPUTS = tuple(TensorSpec(name=n, shape=(1, 4), dtype="float32") for n in "ab")
MANIFEST = replace(
    PLAIN,
    inputs=(TensorSpec(name="x", shape=(1, 1, 2, 2), dtype="float32"),),
    outputs=OUTPUTS,
    preprocessing=Preprocessing(height=2, width=2, scale=0.5),
    golden=GoldenSpec(count=3, atol=0.1),
)
SAMPLES = list(np.random.default_rng(0).integers(0, 9, (3, 2, 2), dtype=np.uint8))


class Arithmetic:
    """A session of two outputs: the flattened input plus an offset, and its double."""

    runtime = "arithmetic"
    provider = "cpu"
    inputs = MANIFEST.inputs
    outputs = OUTPUTS

    def __init__(self, offset: float = 0.0) -> None:
        self._offset = offset

    def run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        flat = tensors[0].reshape(1, -1) + np.float32(self._offset)
        return [flat, flat * 2]


@pytest.fixture
def golden() -> GoldenSamples:
    return compute_golden(Arithmetic(), SAMPLES, MANIFEST.preprocessing)


def test_golden_samples_hold_raw_inputs_and_every_output(golden: GoldenSamples):
    assert golden.inputs.dtype == np.uint8
    assert [o.shape for o in golden.outputs] == [(3, 4), (3, 4)]
    np.testing.assert_array_equal(golden.outputs[0][1], SAMPLES[1].ravel() * 0.5)


def test_golden_samples_survive_the_bundle(tmp_path: Path, golden: GoldenSamples):
    files = {"model.onnx": b"", **golden_files(golden)}
    read = read_golden(write_bundle(tmp_path / "a.bundle", MANIFEST, files))
    np.testing.assert_array_equal(read.inputs, golden.inputs)
    for got, wanted in zip(read.outputs, golden.outputs, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_the_same_model_reproduces_them(golden: GoldenSamples):
    assert check_golden(Arithmetic(), golden, MANIFEST) == 0.0


def test_a_difference_within_the_tolerance_is_told_and_let_through(golden: GoldenSamples):
    assert check_golden(Arithmetic(0.04), golden, MANIFEST) == pytest.approx(0.08, rel=1e-4)


@pytest.mark.parametrize("offset", [0.06, -0.06, float("nan"), float("inf")])
def test_a_difference_beyond_the_tolerance_is_refused(golden: GoldenSamples, offset: float):
    with pytest.raises(ProofError, match=r"digits 1\.0\.0 onnx-fp32: golden sample 0 differs"):
        check_golden(Arithmetic(offset), golden, MANIFEST)


def test_answers_of_another_shape_are_refused(golden: GoldenSamples):
    shorter = GoldenSamples(inputs=golden.inputs, outputs=tuple(o[:, :3] for o in golden.outputs))
    with pytest.raises(ProofError):
        check_golden(Arithmetic(), shorter, MANIFEST)


def test_a_provider_that_computes_less_exactly_has_a_tolerance_of_its_own(golden: GoldenSamples):
    shifted = replace(golden, outputs=tuple(o + 10 * MANIFEST.golden.atol for o in golden.outputs))
    wide = GoldenSpec(
        count=MANIFEST.golden.count,
        atol=MANIFEST.golden.atol,
        providers={"cpu": 20 * MANIFEST.golden.atol},
    )
    with pytest.raises(ProofError):
        check_golden(Arithmetic(), shifted, MANIFEST)
    check_golden(Arithmetic(), shifted, replace(MANIFEST, golden=wide))


def test_a_bundle_without_its_golden_samples_is_refused(tmp_path: Path):
    bundle = write_bundle(tmp_path / "a.bundle", MANIFEST, {"model.onnx": b""})
    with pytest.raises(BundleError, match=r"golden/output\.0\.npy"):
        read_golden(bundle)


def test_fewer_golden_samples_than_promised_are_refused(tmp_path: Path, golden: GoldenSamples):
    fewer = GoldenSamples(
        inputs=golden.inputs[:0], outputs=tuple(output[:0] for output in golden.outputs)
    )
    files = {"model.onnx": b"", **golden_files(fewer)}
    with pytest.raises(BundleError, match="golden"):
        read_golden(write_bundle(tmp_path / "a.bundle", MANIFEST, files))


def test_golden_samples_that_are_no_arrays_are_refused(tmp_path: Path, golden: GoldenSamples):
    files = {"model.onnx": b"", **golden_files(golden), "golden/input.npy": b"no array"}
    bundle = write_bundle(tmp_path / "a.bundle", MANIFEST, files)
    with pytest.raises(BundleError, match=r"golden/input\.npy is no array"):
        read_golden(bundle)


class Stepping(Arithmetic):
    """A model with a state [2, 1, 3] beside its first input."""

    def run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        return [tensors[0].reshape(1, -1) + tensors[1].sum(), tensors[1] + 1]


def test_further_inputs_and_outputs_without_a_batch_survive_the_bundle(tmp_path: Path):
    states = np.arange(18, dtype=np.float32).reshape(3, 2, 1, 3)
    golden = compute_golden(Stepping(), SAMPLES, MANIFEST.preprocessing, further=[states])
    assert golden.outputs[1].shape == (3, 2, 1, 3)
    spec = TensorSpec(name="state", shape=(2, 1, 3), dtype="float32")
    manifest = replace(MANIFEST, inputs=(*MANIFEST.inputs, spec), features=(SEVERAL_INPUTS,))
    files = {"model.onnx": b"", **golden_files(golden)}
    read = read_golden(write_bundle(tmp_path / "a.bundle", manifest, files))
    np.testing.assert_array_equal(read.further[0], states)
    assert check_golden(Stepping(), read, manifest) == 0.0
