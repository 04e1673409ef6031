"""Recipes (data) and the calibration that feeds them."""

from converters.quantize.calibration import Calibration, calibrate_on
from converters.quantize.recipes import FP32, INT8, Limits, Recipe

__all__ = ["Calibration", "calibrate_on", "FP32", "INT8", "Limits", "Recipe"]
