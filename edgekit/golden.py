"""Golden samples: raw inputs with the expected output, recomputed wherever a variant arrives.

They lie in a bundle as `golden/input.npy` (samples along the first axis), one
`golden/input.<i>.npy` for each further input of the model, whole tensors along a new first axis,
and one `golden/output.<i>.npy` for each output.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgekit.bundle import Bundle
from edgekit.errors import BundleError, ProofError
from edgekit.manifest import Manifest, Preprocessing
from edgekit.preprocessing import prepare
from edgekit.runtime.base import Session, Tensor

INPUT = "golden/input.npy"


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenSamples:
    """Raw samples and what the model answered where it was proven.

    Attributes:
        inputs: Raw samples, stacked along the first axis.
        outputs: For each output of the model, the answers, as `stacked` lays them.
        further: For each further input of the model, whole tensors stacked along a new first axis.
    """

    inputs: Tensor
    outputs: tuple[Tensor, ...]
    further: tuple[Tensor, ...] = ()

    def tensors(self, index: int, preprocessing: Preprocessing | None) -> list[Tensor]:
        """Return one tensor per input of the model for a sample."""
        first = prepare(self.inputs[index], preprocessing)
        return [first, *(np.asarray(tensor[index]) for tensor in self.further)]


def compute_golden(
    session: Session,
    samples: Sequence[Tensor],
    preprocessing: Preprocessing | None,
    *,
    further: Sequence[Tensor] = (),
) -> GoldenSamples:
    """Run raw samples of equal shape through the model and keep the answers.

    Args:
        session: The model.
        samples: Raw samples for the first input.
        preprocessing: From a raw sample to the first input.
        further: For each further input, one whole tensor a sample, stacked.
    """
    asked = GoldenSamples(inputs=np.stack(samples), outputs=(), further=tuple(further))
    answers = [session.run(asked.tensors(i, preprocessing)) for i in range(len(samples))]
    outputs = tuple(stacked(column) for column in zip(*answers, strict=True))
    return replace(asked, outputs=outputs)


def stacked(answers: Sequence[Tensor]) -> Tensor:
    """Return answers along the first axis: their own where it is a batch of one, else a new one."""
    batch = all(answer.shape[:1] == (1,) for answer in answers)
    return np.concatenate(answers) if batch else np.stack(answers)


def golden_files(golden: GoldenSamples) -> dict[str, bytes]:
    """Return the files to put into a bundle, by name."""
    files = {INPUT: _npy(golden.inputs)}
    for index, tensor in enumerate(golden.further, start=1):
        files[_further(index)] = _npy(tensor)
    for index, output in enumerate(golden.outputs):
        files[f"golden/output.{index}.npy"] = _npy(output)
    return files


def read_golden(bundle: Bundle) -> GoldenSamples:
    """Read the golden samples of a bundle.

    Raises:
        BundleError: They are absent, no arrays, or not as many as the manifest says.
    """
    outputs = tuple(
        _array(bundle, f"golden/output.{index}.npy")
        for index in range(len(bundle.manifest.outputs))
    )
    inputs = _array(bundle, INPUT)
    further = tuple(
        _array(bundle, _further(index)) for index in range(1, len(bundle.manifest.inputs))
    )
    count = bundle.manifest.golden.count
    if count < 1 or any(array.shape[:1] != (count,) for array in (inputs, *outputs, *further)):
        raise BundleError(f"does not hold {count} golden samples", where=str(bundle.path))
    return GoldenSamples(inputs=inputs, outputs=outputs, further=further)


def check_golden(session: Session, golden: GoldenSamples, manifest: Manifest) -> float:
    """Recompute every golden sample on this machine; return the largest absolute difference.

    Raises:
        ProofError: An output differs by more than the manifest allows here, or is not finite.
    """
    largest, allowed = 0.0, manifest.golden.allowed(session.provider)
    for index in range(len(golden.inputs)):
        answers = session.run(golden.tensors(index, manifest.preprocessing))
        for answer, expected in zip(answers, golden.outputs, strict=True):
            difference = _difference(answer, _one(expected, index, answer.ndim))
            largest = max(largest, difference)
            if not difference <= allowed:
                raise ProofError(
                    f"golden sample {index} differs by {difference:.4g}, allowed are {allowed:.4g}",
                    where=f"{manifest.model} {manifest.version} {manifest.variant}",
                    todo="do not run this variant on this device",
                )
    return largest


def _one(expected: Tensor, index: int, axes: int) -> Tensor:
    """Return the answer to one sample, with the axes that the model gave it."""
    answer: Tensor = expected[index] if expected.ndim > axes else expected[index : index + 1]
    return answer


def _difference(answer: Tensor, expected: Tensor) -> float:
    """Return the largest absolute difference; infinite when shapes differ or NaN appears."""
    if answer.shape != expected.shape:
        return float("inf")
    gaps = np.abs(answer.astype(np.float64) - expected.astype(np.float64))
    largest = float(np.max(gaps, initial=0.0))
    return largest if np.isfinite(largest) else float("inf")


def _further(index: int) -> str:
    return f"golden/input.{index}.npy"


def _npy(array: Tensor) -> bytes:
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(array), allow_pickle=False)
    return out.getvalue()


def _array(bundle: Bundle, name: str) -> Tensor:
    try:
        array: Tensor = np.load(io.BytesIO(bundle.read(name)), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise BundleError(f"{name} is no array", where=str(bundle.path)) from error
    return array
