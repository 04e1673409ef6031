"""Golden samples: raw inputs with the expected output, recomputed wherever a variant arrives.

They lie in a bundle as `golden/input.npy` (samples along the first axis) and one
`golden/output.<i>.npy` for each output of the model.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

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
        outputs: For each output of the model, the answers stacked along the first axis.
    """

    inputs: Tensor
    outputs: tuple[Tensor, ...]


def compute_golden(
    session: Session, samples: Sequence[Tensor], preprocessing: Preprocessing | None
) -> GoldenSamples:
    """Run raw samples of equal shape through the model and keep the answers."""
    answers = [session.run([prepare(s, preprocessing)]) for s in samples]
    outputs = tuple(np.concatenate(column) for column in zip(*answers, strict=True))
    return GoldenSamples(inputs=np.stack(samples), outputs=outputs)


def golden_files(golden: GoldenSamples) -> dict[str, bytes]:
    """Return the files to put into a bundle, by name."""
    files = {INPUT: _npy(golden.inputs)}
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
    count = bundle.manifest.golden.count
    if count < 1 or any(array.shape[:1] != (count,) for array in (inputs, *outputs)):
        raise BundleError(f"does not hold {count} golden samples", where=str(bundle.path))
    return GoldenSamples(inputs=inputs, outputs=outputs)


def check_golden(session: Session, golden: GoldenSamples, manifest: Manifest) -> float:
    """Recompute every golden sample on this machine; return the largest absolute difference.

    Raises:
        ProofError: An output differs by more than the manifest's `golden.atol`, or is not finite.
    """
    largest = 0.0
    for index, sample in enumerate(golden.inputs):
        answers = session.run([prepare(sample, manifest.preprocessing)])
        for answer, expected in zip(answers, golden.outputs, strict=True):
            difference = _difference(answer, expected[index : index + 1])
            largest = max(largest, difference)
            if not difference <= manifest.golden.atol:
                raise ProofError(
                    f"golden sample {index} differs by {difference:.4g}, "
                    f"allowed are {manifest.golden.atol:.4g}",
                    where=f"{manifest.model} {manifest.version} {manifest.variant}",
                    todo="do not run this variant on this device",
                )
    return largest


def _difference(answer: Tensor, expected: Tensor) -> float:
    """Return the largest absolute difference; infinite when shapes differ or NaN appears."""
    if answer.shape != expected.shape:
        return float("inf")
    largest = float(np.max(np.abs(answer.astype(np.float64) - expected.astype(np.float64))))
    return largest if np.isfinite(largest) else float("inf")


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
