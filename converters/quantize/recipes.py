"""Recipes: how a model's numbers are stored, as data, and what each must prove."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.manifest import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a variant of a precision must reach to be bundled.

    Attributes:
        relative_diff: Largest difference of an output element to the reference, over the largest
            magnitude of that output.
        sqnr_db: Lowest signal to quantization noise ratio of an output, dB.
        agreement: Lowest share of samples with the reference's answer, in [0, 1].
        golden_diff: Tolerance of the golden samples, over the range of the outputs: how far the
            same file may be off on another processor.
    """

    relative_diff: float
    sqnr_db: float
    agreement: float
    golden_diff: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to quantize.

    Attributes:
        name: Second half of a variant's name.
        precision: Number format of weights and activations.
        calibrated: Whether ranges of activations are needed.
        preference: Which variant a device gets among those that fit; the highest.
        limits: What it must prove.
    """

    name: str
    precision: Precision
    calibrated: bool
    preference: int
    limits: Limits


FP32 = Recipe(
    name="fp32",
    precision=Precision.FP32,
    calibrated=False,
    preference=10,
    limits=Limits(relative_diff=1e-4, sqnr_db=80.0, agreement=0.999, golden_diff=1e-4),
)

# One step of an 8-bit output is 1/255 of its range; other processors may round a few steps apart.
INT8 = Recipe(
    name="int8",
    precision=Precision.INT8,
    calibrated=True,
    preference=20,
    limits=Limits(relative_diff=1.0, sqnr_db=15.0, agreement=0.95, golden_diff=4 / 255),
)
