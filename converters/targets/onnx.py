"""ONNX files for ONNX Runtime: float32 and what `onnx_quantize` makes of it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from converters.capture import Captured
from converters.extras import need
from converters.quantize import (
    FP16,
    FP32,
    INT8,
    INT8_DYNAMIC,
    INT8_INT16,
    Calibration,
    Kind,
    Recipe,
    Rung,
)
from converters.quiet import quiet_python
from converters.source import ModuleSource, OnnxSource
from converters.targets.base import Target
from converters.targets.onnx_quantize import has_fused_layers, quantize_file
from converters.targets.onnx_saturate import saturating_answers
from converters.targets.operators import refusal
from edgekit.device import RuntimeRange
from edgekit.errors import EdgeKitError, TargetError
from edgekit.manifest import ModelFormat, Precision
from edgekit.runtime import Tensor

# The newest opset that torch's exporter writes natively, and the oldest file version that may
# carry it: every runtime since ONNX Runtime 1.14 reads both.
_OPSET = 18
_IR_VERSION = 8
# Quantization per channel needs it.
_MIN_OPSET = 13
# First ONNX Runtime that reads an opset. Source: ONNX Runtime's compatibility table.
_RUNTIME_OF_OPSET = (
    (15, "1.10"), (16, "1.12"), (17, "1.12"), (18, "1.14"), (19, "1.16"), (20, "1.17"),
    (21, "1.18"), (22, "1.21"), (23, "1.23"),
)  # fmt: skip


class OnnxTarget:
    """Lowers by torch's dynamo exporter; the older exporter is silently wrong on branches."""

    name = "onnx"
    format = ModelFormat.ONNX
    recipes = (FP32, FP16, INT8, INT8_DYNAMIC, INT8_INT16)
    chooses_arithmetic = True
    packages = ("onnx", "onnxscript", "onnxruntime")

    def lower(self, captured: Captured, out: Path) -> None:
        """Write the float model file. Raises as `Target.lower` does."""
        match captured.source:
            case ModuleSource():
                model = _from_program(captured)
            case OnnxSource(path=path):
                model = _from_file(path)
        _strip(model)
        out.write_bytes(model.SerializeToString(deterministic=True))

    def lowers(self, operator: Any) -> bool:  # noqa: ANN401 (torch)
        """Say whether torch's exporter knows an operator of torch."""
        with quiet_python():
            return bool(_registry().is_registered(operator))

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
                quantized, warnings = quantize_file(model, rung, calibration, out)
        except (EdgeKitError, OSError):
            raise
        except Exception as error:
            raise TargetError(
                f"onnx cannot quantize it to {recipe.name} ({_first_line(error)})"
            ) from error
        _strip(quantized)
        out.write_bytes(quantized.SerializeToString(deterministic=True))
        return warnings

    def leaner(self, model: Path, recipe: Recipe) -> Recipe | None:
        """Return a recipe that leaves in float what costs in 8 bits; None where nothing does.

        For files whose convolutions are fused with their activation in float only: a
        MobileNetV3-like net took 5.3 ms in 8 bits, 3.1 ms in float and 2.9 ms so.
        """
        rungs = [r for r in recipe.rungs if r.kind is Kind.STATIC and r.activation_bits == 8]
        if not rungs or not has_fused_layers(model):
            return None
        return replace(recipe, rungs=tuple(_leaner(rung) for rung in rungs))

    def saturating(self, model: Path, inputs: Sequence[list[Tensor]]) -> list[list[Tensor]] | None:
        """Return answers as processors without VNNI give them, simulated; None for the same."""
        return saturating_answers(model, inputs)

    def runtimes(self, model: Path, rung: Rung) -> tuple[RuntimeRange, ...]:
        """Return the oldest ONNX Runtime that reads the file's opset and version."""
        del rung
        return onnx_runtimes(model)


def _leaner(rung: Rung) -> Rung:
    name = f"{rung.name}, convolutions with hard-swish in float"
    return replace(rung, name=name, precision=Precision.MIXED, leaves_fused=True)


@functools.cache
def _registry() -> Any:  # noqa: ANN401 (torch)
    """Return what torch's exporter knows; there is no public way to ask."""
    module = need("torch.onnx._internal.exporter._registration")
    return module.ONNXRegistry.from_torchlib()


def onnx_runtimes(model: Path) -> tuple[RuntimeRange, ...]:
    """Return the oldest ONNX Runtime that reads a file's opset.

    Raises:
        TargetError: None that is known does.
    """
    opset = _opset(need("onnx").load(model, load_external_data=False))
    minimum = next((version for known, version in _RUNTIME_OF_OPSET if opset <= known), None)
    if minimum is None:
        raise TargetError(f"no known ONNX Runtime reads opset {opset}", where=model.name)
    return (RuntimeRange(name="onnxruntime", minimum=minimum),)


def _from_program(captured: Captured) -> Any:  # noqa: ANN401 (onnx)
    torch = need("torch")
    need("onnxscript")
    try:
        with quiet_python():
            exported = torch.onnx.export(
                captured.program,
                (),
                dynamo=True,
                verbose=False,
                opset_version=_OPSET,
                input_names=[spec.name for spec in captured.inputs],
                output_names=list(captured.outputs),
            )
    except OSError:
        raise
    except Exception as error:
        raise refusal("onnx", captured, error) from error
    model = exported.model_proto
    model.ir_version = _IR_VERSION
    return model


def _from_file(path: Path) -> Any:  # noqa: ANN401 (onnx)
    onnx = need("onnx")
    model = onnx.load(path)
    _modernize(model)
    if _opset(model) >= _MIN_OPSET:
        return model
    try:
        return need("onnx.version_converter").convert_version(model, _OPSET)
    except RuntimeError as error:
        raise TargetError(
            f"opset {_opset(model)} cannot be raised to {_OPSET} ({_first_line(error)})",
            where=str(path),
        ) from error


def _modernize(model: Any) -> None:  # noqa: ANN401 (onnx)
    """Raise an old file version; before version 4 weights were listed among the inputs."""
    if model.ir_version >= _IR_VERSION:
        return
    model.ir_version = _IR_VERSION
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)


def _strip(model: Any) -> None:  # noqa: ANN401 (onnx)
    """Remove what names the machine and the user's source: paths, traces, descriptions."""
    graph = model.graph
    nodes = [*graph.node, *(node for function in model.functions for node in function.node)]
    values = [*graph.input, *graph.output, *graph.value_info, *graph.initializer]
    for part in [model, graph, *nodes, *values, *model.functions]:
        part.ClearField("doc_string")
        part.ClearField("metadata_props")


def _opset(model: Any) -> int:  # noqa: ANN401 (onnx)
    return max(
        (int(o.version) for o in model.opset_import if o.domain in {"", "ai.onnx"}), default=1
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]


TARGET: Target = OnnxTarget()
