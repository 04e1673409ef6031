"""Recipes (data) and the calibration that feeds them."""

from converters.quantize.arithmetic import VNNI, Arithmetic, arithmetic_for
from converters.quantize.calibration import Calibration, calibrate_on
from converters.quantize.recipes import (
    FP16,
    FP32,
    INT8,
    INT8_DYNAMIC,
    INT8_INT16,
    INT8_IO,
    Kind,
    Limits,
    Method,
    Recipe,
    Rung,
)

__all__ = [
    "Arithmetic",
    "Calibration",
    "VNNI",
    "arithmetic_for",
    "calibrate_on",
    "FP16",
    "FP32",
    "INT8",
    "INT8_DYNAMIC",
    "INT8_INT16",
    "INT8_IO",
    "Kind",
    "Limits",
    "Method",
    "Recipe",
    "Rung",
]
