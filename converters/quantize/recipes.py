"""Recipes: how a model's numbers are stored, as data, and what each must prove."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from converters.quantize.arithmetic import Arithmetic
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
        golden_diffs: The same by execution provider, where one computes less exactly.
    """

    relative_diff: float
    sqnr_db: float
    agreement: float
    golden_diff: float
    golden_diffs: Mapping[str, float] = field(default_factory=dict)


class Method(StrEnum):
    """How the range of an activation follows from its values over all samples."""

    MIN_MAX = "min-max"
    PERCENTILE = "percentile"
    ENTROPY = "entropy"
    MSE = "mse"


class Kind(StrEnum):
    """What is done to a float file."""

    FLOAT = "float"
    HALF = "half"
    STATIC = "static"
    DYNAMIC = "dynamic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One way to carry out a recipe. The ladder is climbed while accuracy is beyond the budget.

    Attributes:
        name: As it is told.
        precision: Number format that comes out.
        kind: What is done.
        method: Ranges of activations.
        equalizes: Whether scales move between layers first, so that channels are alike.
        corrects_bias: Whether biases make up for the mean error of rounded weights.
        float_share: Share of the layers, the most sensitive ones, that stay in float, in [0, 1].
        activation_bits: 8 or 16.
        integer_ends: Whether inputs and outputs of the file are integers.
        arithmetic: Of 8-bit products.
        leaves_fused: Whether only those layers are quantized that the runtime has no faster float
            form of: convolutions stay in float that it fuses with their activation in float only.
    """

    name: str
    precision: Precision
    kind: Kind = Kind.STATIC
    method: Method = Method.MIN_MAX
    equalizes: bool = False
    corrects_bias: bool = False
    float_share: float = 0.0
    activation_bits: int = 8
    integer_ends: bool = False
    arithmetic: Arithmetic = Arithmetic.PORTABLE
    leaves_fused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to quantize.

    Attributes:
        name: Second half of a variant's name.
        precision: Number format of weights and activations.
        calibrated: Whether ranges of activations are needed.
        preference: Which variant a device gets among those that fit; the highest.
        limits: What it must prove.
        rungs: Ways to carry it out, the cheapest and fastest first; a target may know fewer.
    """

    name: str
    precision: Precision
    calibrated: bool
    preference: int
    limits: Limits
    rungs: tuple[Rung, ...]


# TF32, which NVIDIA's libraries use for float32, carries 11 bits, as half precision does.
_TF32 = {"cuda": 5e-3, "tensorrt": 5e-3}
# One step of an 8-bit output is 1/255 of its range; other processors may round a few steps apart.
_INT8 = Limits(relative_diff=1.0, sqnr_db=15.0, agreement=0.95, golden_diff=4 / 255)
# Half precision carries 11 bits; sums of hundreds of products lose about three of them.
_HALF = Limits(relative_diff=2e-2, sqnr_db=45.0, agreement=0.99, golden_diff=5e-3)

_FP16_RUNG = Rung(name="fp16", precision=Precision.FP16, kind=Kind.HALF)
_INT16_RUNG = Rung(name="int16 activations", precision=Precision.INT8_INT16, activation_bits=16)
_MIN_MAX = Rung(name="min-max", precision=Precision.INT8)

FP32 = Recipe(
    name="fp32",
    precision=Precision.FP32,
    calibrated=False,
    preference=10,
    limits=Limits(
        relative_diff=1e-4, sqnr_db=80.0, agreement=0.999, golden_diff=1e-4, golden_diffs=_TF32
    ),
    rungs=(Rung(name="fp32", precision=Precision.FP32, kind=Kind.FLOAT),),
)

FP16 = Recipe(
    name="fp16",
    precision=Precision.FP16,
    calibrated=False,
    preference=12,
    limits=_HALF,
    rungs=(_FP16_RUNG,),
)

INT8 = Recipe(
    name="int8",
    precision=Precision.INT8,
    calibrated=True,
    preference=20,
    limits=_INT8,
    rungs=(
        _MIN_MAX,
        Rung(name="percentile", precision=Precision.INT8, method=Method.PERCENTILE),
        Rung(name="entropy", precision=Precision.INT8, method=Method.ENTROPY),
        Rung(name="mse", precision=Precision.INT8, method=Method.MSE),
        Rung(name="equalisation", precision=Precision.INT8, equalizes=True),
        Rung(
            name="mse, bias correction",
            precision=Precision.INT8,
            method=Method.MSE,
            corrects_bias=True,
        ),
        Rung(
            name="equalisation, bias correction",
            precision=Precision.INT8,
            equalizes=True,
            corrects_bias=True,
        ),
        *(
            Rung(
                name=f"the most sensitive {share:.0%} of the layers in float",
                precision=Precision.MIXED,
                corrects_bias=True,
                float_share=share,
            )
            for share in (0.1, 0.3)
        ),
        _INT16_RUNG,
        _FP16_RUNG,
    ),
)

INT8_INT16 = Recipe(
    name="int8-int16",
    precision=Precision.INT8_INT16,
    calibrated=True,
    preference=14,
    limits=Limits(relative_diff=0.5, sqnr_db=25.0, agreement=0.97, golden_diff=4 / 255),
    rungs=(_INT16_RUNG,),
)

INT8_DYNAMIC = Recipe(
    name="int8-dynamic",
    precision=Precision.INT8,
    calibrated=False,
    preference=15,
    limits=_INT8,
    rungs=(Rung(name="dynamic", precision=Precision.INT8, kind=Kind.DYNAMIC),),
)

INT8_IO = Recipe(
    name="int8-io",
    precision=Precision.INT8,
    calibrated=True,
    preference=19,
    limits=_INT8,
    rungs=(Rung(name="min-max", precision=Precision.INT8, integer_ends=True),),
)
