"""OpenVINO models for x86 edge boxes: float32, and int8 by NNCF.

The way leads through the ONNX file of the same source, so what OpenVINO is given is what the target
`onnx` proves. int8 is NNCF's own post-training quantization; the ladder changes how it is asked.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from converters.capture import Captured
from converters.extras import need
from converters.quantize import FP32, INT8, Arithmetic, Calibration, Kind, Method, Recipe, Rung
from converters.quiet import quiet_python
from converters.targets.base import Target
from converters.targets.onnx import OnnxTarget
from converters.targets.openvino_text import canonical
from edgekit.device import RuntimeRange
from edgekit.errors import EdgeKitError, MissingExtraError, TargetError
from edgekit.manifest import ModelFormat, Precision
from edgekit.runtime import openvino_file
from edgekit.runtime.base import Tensor

EXTRA = "convert-openvino"
_ONNX = OnnxTarget()
RUNTIME = RuntimeRange(name="openvino", minimum="2026.4")
# NNCF's fast bias correction is not used: on a CNN of log-mel spectra it cost 14 dB (26.5 without,
# 12.3 with it, 29.2 with the exact one), for it takes each input channel for its mean.
_INT8 = replace(
    INT8,
    rungs=(
        Rung(name="min-max", precision=Precision.INT8),
        Rung(name="min-max, bias correction", precision=Precision.INT8, corrects_bias=True),
        Rung(name="percentile", precision=Precision.INT8, method=Method.PERCENTILE),
        Rung(name="fp16", precision=Precision.FP16, kind=Kind.HALF),
    ),
)


class OpenVinoTarget:
    """Lowers by OpenVINO's reader of ONNX files, quantizes by NNCF."""

    name = "openvino"
    format = ModelFormat.OPENVINO
    recipes = (FP32, _INT8)
    chooses_arithmetic = True
    packages = ("onnx", "onnxscript", "openvino", "nncf")

    def lower(self, captured: Captured, out: Path) -> None:
        """Write the float model file. Raises as `Target.lower` does."""
        between = out.with_suffix(".onnx")
        _ONNX.lower(captured, between)
        try:
            with quiet_python():
                out.write_bytes(_packed(library().convert_model(between), out))
        except (EdgeKitError, OSError):
            raise
        except Exception as error:
            raise TargetError(
                f"openvino cannot express it ({_first_line(error)})", where=captured.source.name
            ) from error
        finally:
            between.unlink(missing_ok=True)

    def lowers(self, operator: Any) -> bool:  # noqa: ANN401 (torch)
        """Say whether the way over ONNX knows an operator of torch."""
        return _ONNX.lowers(operator)

    def quantize(
        self,
        model: Path,
        recipe: Recipe,
        rung: Rung,
        calibration: Calibration | None,
        out: Path,
    ) -> tuple[str, ...]:
        """Write the quantized form. Returns and raises as `Target.quantize` does."""
        try:
            with quiet_python():
                loaded = library().Core().read_model(*openvino_file.read(model))
                if rung.kind is Kind.STATIC:
                    loaded = _static(loaded, rung, calibration)
                out.write_bytes(_packed(loaded, out, half=rung.kind is Kind.HALF))
        except (EdgeKitError, OSError):
            raise
        except Exception as error:
            raise TargetError(
                f"openvino cannot quantize it to {recipe.name} ({_first_line(error)})"
            ) from error
        return ()

    def runtimes(self, model: Path, rung: Rung) -> tuple[RuntimeRange, ...]:
        """Return the OpenVINO that files were proven on."""
        del model, rung
        return (RUNTIME,)


def library() -> Any:  # noqa: ANN401 (openvino)
    """Return OpenVINO, its telemetry kept off.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return importlib.import_module("edgekit.runtime.openvino_library").openvino
    except ModuleNotFoundError as error:
        if error.name != "openvino":
            raise
        raise MissingExtraError("openvino", EXTRA) from error


def _static(model: Any, rung: Rung, calibration: Calibration | None) -> Any:  # noqa: ANN401 (openvino)
    """Return NNCF's int8; weights keep to 7 bits unless all processors have VNNI."""
    if calibration is None:
        raise ValueError("static quantization needs calibration")
    nncf = need("nncf", EXTRA)
    advanced = need("nncf.quantization.advanced_parameters", EXTRA)
    names = [port.get_any_name() for port in model.inputs]
    feeds = _Feeds(names, calibration)
    full = rung.arithmetic is Arithmetic.U8S8
    fix = advanced.OverflowFix.DISABLE if full else advanced.OverflowFix.ENABLE
    return nncf.quantize(
        model,
        nncf.Dataset(feeds),
        subset_size=len(calibration.samples),
        fast_bias_correction=False,
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            overflow_fix=fix,
            activations_range_estimator_params=_ranges(rung.method),
            disable_bias_correction=not rung.corrects_bias,
        ),
    )


def _ranges(method: Method) -> Any:  # noqa: ANN401 (nncf)
    """Return how ranges follow from samples: the true ends, or the mean of ends without outliers.

    NNCF's own default is the mean of each sample's ends, which cuts loud samples off.
    """
    known = need("nncf.quantization.range_estimator", EXTRA).RangeEstimatorParametersSet
    return known.MEAN_NO_OUTLIERS_MINMAX if method is Method.PERCENTILE else known.MINMAX


class _Feeds:
    """Samples by name of input, prepared anew each time that NNCF asks for them."""

    def __init__(self, names: list[str], calibration: Calibration) -> None:
        self._names, self._calibration = names, calibration

    def __iter__(self) -> Any:  # noqa: ANN401 (an iterator of feeds)
        for tensors in self._calibration.tensors():
            feed: dict[str, Tensor] = dict(zip(self._names, tensors, strict=True))
            yield feed


def _packed(model: Any, out: Path, *, half: bool = False) -> bytes:  # noqa: ANN401 (openvino)
    """Return a model as the one file that EdgeKit packs, the same on every run."""
    xml = out.with_suffix(".xml")
    weights = out.with_suffix(".bin")
    library().save_model(model, xml, compress_to_fp16=half)
    try:
        return openvino_file.pack(canonical(xml.read_bytes()), weights.read_bytes())
    finally:
        xml.unlink()
        weights.unlink()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]


TARGET: Target = OpenVinoTarget()
