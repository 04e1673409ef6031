"""TFLite files for LiteRT and tflite-runtime: float32, half precision, static and dynamic int8."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from converters.capture import Captured
from converters.extras import need
from converters.quantize import (
    FP16,
    FP32,
    INT8,
    INT8_DYNAMIC,
    INT8_INT16,
    INT8_IO,
    Calibration,
    Kind,
    Method,
    Recipe,
    Rung,
)
from converters.quantize.headroom import Ends, exceeded
from converters.quiet import quiet_python
from converters.source import ModuleSource
from converters.targets.base import Target
from converters.targets.operators import refusal
from edgekit.device import RuntimeRange
from edgekit.errors import EdgeKitError, TargetError
from edgekit.manifest import ModelFormat
from edgekit.runtime import Tensor

_OLD = RuntimeRange(name="tflite-runtime", minimum="2.14")
_INT8 = replace(
    INT8,
    rungs=tuple(
        rung
        for rung in INT8.rungs
        if rung.method is Method.MIN_MAX
        and not (rung.equalizes or rung.corrects_bias or rung.float_share)
    ),
)

# XNNPACK, which computes for both runtimes, takes these in float only. In 8 bits each runs alone
# between two parts: a MobileNetV3-like net took 15.4 ms, against 2.9 ms with them in float.
_FLOAT_ONLY = ("HARD_SWISH",)


class TfliteTarget:
    """Lowers by litert-torch, quantizes by ai-edge-quantizer.

    Dynamic-range int8 is for LiteRT only: tflite-runtime 2.14 computes it silently wrong.
    """

    name = "tflite"
    format = ModelFormat.TFLITE
    recipes = (FP32, FP16, _INT8, INT8_IO, INT8_INT16, INT8_DYNAMIC)
    packages = ("litert-torch", "ai-edge-quantizer", "ai-edge-litert")

    def lower(self, captured: Captured, out: Path) -> None:
        """Write the float model file. Raises as `Target.lower` does."""
        if not isinstance(captured.source, ModuleSource):
            raise TargetError(
                "tflite is made from a PyTorch module, there is no way from an ONNX file",
                where=captured.source.name,
                todo="name the factory, package.module:function, or leave tflite out",
            )
        if captured.dynamic:
            raise TargetError(
                f"tflite files have fixed sizes, {', '.join(captured.dynamic)} may vary",
                where=captured.source.name,
                todo="leave out --dynamic or tflite",
            )
        torch = need("torch")
        samples = tuple(
            torch.zeros([int(size) for size in spec.shape], dtype=getattr(torch, spec.dtype))
            for spec in captured.inputs
        )
        try:
            with quiet_python():
                converted = need("litert_torch").convert(captured.source.module, samples)
                content = converted.model_content()
        except (EdgeKitError, OSError):
            raise
        except Exception as error:
            raise refusal("tflite", captured, error) from error
        # Written from here: the library's own writer ends the whole program on a full disk.
        out.write_bytes(content)

    def lowers(self, operator: Any) -> bool:  # noqa: ANN401 (torch)
        """Say whether litert-torch knows an operator of torch."""
        with quiet_python():
            return need("litert_torch.backend.lowerings").lookup(operator) is not None

    def quantize(
        self,
        model: Path,
        recipe: Recipe,
        rung: Rung,
        calibration: Calibration | None,
        out: Path,
    ) -> tuple[str, ...]:
        """Write weights with a scale a channel; ends stay float32 unless the rung says so."""
        content = model.read_bytes()
        ranges: Any = None
        warnings: tuple[str, ...] = ()
        try:
            with quiet_python():
                how = _how(rung)
                if calibration is not None:
                    ranges, warnings = _ranges(content, how, calibration)
                quantized = _quantize(content, how, ranges)
        except (EdgeKitError, OSError):
            raise
        except Exception as error:
            reason = (str(error).strip() or repr(error)).splitlines()[0]
            raise TargetError(f"tflite cannot quantize it to {recipe.name} ({reason})") from error
        out.write_bytes(quantized)
        return warnings

    def saturating(self, model: Path, inputs: Sequence[list[Tensor]]) -> list[list[Tensor]] | None:
        """Return None: both runtimes multiply in 16 bits and add in 32 on every processor."""
        del model, inputs
        return None

    def runtimes(self, model: Path, rung: Rung) -> tuple[RuntimeRange, ...]:
        """Return the runtimes that files of this rung were proven on."""
        del model
        plain = rung.kind is Kind.STATIC and rung.activation_bits == 8 and not rung.integer_ends
        old = (_OLD,) if plain or rung.kind is Kind.FLOAT else ()
        return (RuntimeRange(name="litert", minimum="2.3"), *old)


def _how(rung: Rung) -> Any:  # noqa: ANN401 (ai-edge-quantizer)
    """Return the quantizer's own recipe for a rung."""
    managers = need("ai_edge_quantizer.recipe_manager")
    kinds = need("ai_edge_quantizer.qtyping")
    algorithms = need("ai_edge_quantizer.algorithm_manager").AlgorithmName
    recipes = need("ai_edge_quantizer.recipe")
    manager = managers.RecipeManager()
    match rung.kind:
        case Kind.HALF:
            half = kinds.TensorQuantizationConfig(num_bits=16, dtype=kinds.TensorDataType.FLOAT)
            manager.add_quantization_config(
                ".*",
                kinds.TFLOperationName.ALL_SUPPORTED,
                kinds.OpQuantizationConfig(weight_tensor_config=half, explicit_dequantize=True),
                algorithm_key=algorithms.FLOAT_CASTING,
            )
            return manager.get_quantization_recipe()
        case Kind.DYNAMIC:
            return recipes.dynamic_wi8_afp32()
        case _:
            wide = rung.activation_bits == 16
            manager.load_quantization_recipe(
                recipes.static_wi8_ai16() if wide else recipes.static_wi8_ai8()
            )
    for name in () if rung.integer_ends else ("INPUT", "OUTPUT", *_FLOAT_ONLY):
        operation = getattr(kinds.TFLOperationName, name)
        manager.add_quantization_config(".*", operation, algorithm_key=algorithms.NO_QUANTIZE)
    return manager.get_quantization_recipe()


def _ranges(
    content: bytes,
    how: Any,  # noqa: ANN401 (ai-edge-quantizer)
    calibration: Calibration,
) -> tuple[Any, tuple[str, ...]]:
    """Return the true minimum and maximum of every tensor over all samples, and what to tell.

    The quantizer's own default averages ranges over samples, which costs 8 to 22 dB.
    """
    calibrators = need("ai_edge_quantizer.calibrator")
    manager = need("ai_edge_quantizer.recipe_manager").RecipeManager()
    manager.load_quantization_recipe(how)
    calibrator = calibrators.Calibrator(
        content,
        num_threads=1,
        qsv_update_func=need("ai_edge_quantizer.utils.qsv_utils").min_max_update,
    )
    signature, arguments = _signature(calibrator)
    kept, samples = calibration.held_out_last()
    first: dict[str, Ends] = {}
    for done, tensors in enumerate(samples, start=1):
        one: list[dict[str, Tensor]] = [dict(zip(arguments, tensors, strict=True))]
        calibrator.calibrate({signature: one}, manager)
        if done == kept:
            first = _ends(calibrator.get_model_qsvs())
    ranges = calibrator.get_model_qsvs()
    return ranges, exceeded(first, _ends(ranges))


def _ends(ranges: Any) -> dict[str, Ends]:  # noqa: ANN401 (ai-edge-quantizer)
    """Return the smallest and the largest value of each tensor."""
    return {
        name: (float(np.min(seen["min"])), float(np.max(seen["max"])))
        for name, seen in ranges.items()
    }


def _quantize(content: bytes, how: Any, ranges: Any) -> bytes:  # noqa: ANN401 (ai-edge-quantizer)
    quantizer = need("ai_edge_quantizer.quantizer").Quantizer(content, how)
    result = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def _signature(calibrator: Any) -> tuple[str, list[str]]:  # noqa: ANN401 (ai-edge-quantizer)
    """Return the signature and its arguments; litert-torch numbers them: args_0, args_1, ..."""
    name, ends = next(iter(calibrator.get_signature_list().items()))
    return str(name), sorted((str(end) for end in ends["inputs"]), key=lambda n: (len(n), n))


TARGET: Target = TfliteTarget()
