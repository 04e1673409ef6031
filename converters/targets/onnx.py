"""ONNX files for ONNX Runtime: float32, and static int8 with quantize-dequantize pairs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from converters.capture import Captured
from converters.extras import need
from converters.quantize import FP32, INT8, Calibration, Recipe
from converters.quiet import quiet_python
from converters.source import ModuleSource, OnnxSource
from converters.targets.base import Target
from converters.targets.operators import refusal
from edgekit.device import RuntimeRange
from edgekit.errors import EdgeKitError, TargetError
from edgekit.manifest import ModelFormat
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
    recipes = (FP32, INT8)
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

    def quantize(self, model: Path, recipe: Recipe, calibration: Calibration, out: Path) -> None:
        """Write static int8: activations unsigned, weights signed, a scale a channel.

        Weights keep to 7 bits (`reduce_range`), because processors with AVX2 or AVX-512 and no
        VNNI saturate sums of two full products, and the same file must answer alike everywhere.
        """
        prepared = out.with_suffix(".prepared.onnx")
        try:
            with quiet_python():
                _prepare(model, prepared)
                _quantize_static(prepared, out, calibration)
        except (EdgeKitError, OSError):
            raise
        except Exception as error:
            raise TargetError(
                f"onnx cannot quantize it to {recipe.name} ({_first_line(error)})"
            ) from error
        quantized = need("onnx").load(out)
        _strip(quantized)
        out.write_bytes(quantized.SerializeToString(deterministic=True))

    def runtimes(self, model: Path) -> tuple[RuntimeRange, ...]:
        """Return the oldest ONNX Runtime that reads the file's opset and version."""
        return onnx_runtimes(model)


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
    if _opset(model) >= _MIN_OPSET:
        return model
    try:
        return need("onnx.version_converter").convert_version(model, _OPSET)
    except RuntimeError as error:
        raise TargetError(
            f"opset {_opset(model)} cannot be raised to {_OPSET} ({_first_line(error)})",
            where=str(path),
        ) from error


def _prepare(model: Path, out: Path) -> None:
    """Fuse and infer shapes, so that every tensor gets a range; flatten biases of [1, N].

    ONNX Runtime fails on a bias with a leading axis when weights have a scale a channel.
    """
    need("onnxruntime.quantization.shape_inference").quant_pre_process(
        str(model), str(out), skip_symbolic_shape=True
    )
    onnx = need("onnx")
    prepared = onnx.load(out)
    biases = {n.input[2] for n in prepared.graph.node if n.op_type == "Gemm" and len(n.input) > 2}
    for tensor in prepared.graph.initializer:
        if tensor.name in biases and len(tensor.dims) == 2 and tensor.dims[0] == 1:
            tensor.dims[:] = [tensor.dims[1]]
    _keep(prepared.graph.input, lambda value: value.name not in biases)
    _keep(prepared.graph.value_info, lambda value: value.name not in biases)
    onnx.save(prepared, out)


def _keep(values: Any, wanted: Callable[[Any], bool]) -> None:  # noqa: ANN401 (onnx)
    kept = [value for value in values if wanted(value)]
    del values[:]
    values.extend(kept)


def _quantize_static(model: Path, out: Path, calibration: Calibration) -> None:
    quantization = need("onnxruntime.quantization")
    quantization.quantize_static(
        model,
        out,
        _Reader(_input_names(model), calibration),
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        calibrate_method=quantization.CalibrationMethod.MinMax,
        # Ranges are merged after each stride, so memory does not grow with the samples. (The
        # option CalibMaxIntermediateOutputs drops samples instead of merging them.)
        extra_options={"CalibStridedMinMax": _stride(len(calibration.samples))},
    )


class _Reader:
    """What `quantize_static` asks for samples, stride by stride; one is prepared at a time."""

    def __init__(self, names: list[str], calibration: Calibration) -> None:
        self._names = names
        self._count = len(calibration.samples)
        self._tensors = calibration.tensors()
        self._left = 0

    def __len__(self) -> int:
        return self._count

    def set_range(self, start_index: int, end_index: int) -> None:
        """Begin the next stride; strides follow one another."""
        self._left = end_index - start_index

    def get_next(self) -> dict[str, Tensor] | None:
        """Return the next input by name, None at the end of a stride."""
        if self._left == 0:
            return None
        self._left -= 1
        return dict(zip(self._names, next(self._tensors), strict=True))


def _stride(samples: int) -> int:
    """Return the largest stride up to 64 that divides the samples."""
    return next(n for n in range(64, 0, -1) if samples % n == 0)


def _input_names(model: Path) -> list[str]:
    """Return the inputs that are no weights: old files list those among the inputs."""
    graph = need("onnx").load(model, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    return [str(value.name) for value in graph.input if value.name not in weights]


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
