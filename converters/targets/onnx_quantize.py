"""Quantizes float ONNX files: static with ranges of every kind, dynamic, and half precision.

Ranges are taken once for a float file and kept beside it, so that a second rung or variant finds
them. Weights keep to 7 bits (`reduce_range`) unless the file is for known processors: those with
AVX2 or AVX-512 and no VNNI saturate sums of two full products (`quantize.arithmetic`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from converters.extras import need
from converters.quantize import Arithmetic, Calibration
from converters.quantize.recipes import Kind, Method, Rung
from converters.targets import onnx_observe as observe
from converters.targets.onnx_equalize import equalize
from converters.targets.onnx_ranges import choose_ranges, take_ranges
from edgekit.errors import TargetError
from edgekit.manifest import Precision

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# ONNX Runtime fuses these with the convolution before them, in float only; it has no 8-bit kernel
# of them, so that each becomes a way to float and back.
_FUSED_IN_FLOAT = {"HardSwish", "HardSigmoid"}


Quantized: TypeAlias = tuple[Any, tuple[str, ...]]
"""A model, and what a person should know about it."""


def quantize_file(model: Path, rung: Rung, calibration: Calibration | None, out: Path) -> Quantized:
    """Return the quantized model of a float file; `out` may hold it meanwhile.

    Raises:
        TargetError: The rung makes no sense for this model.
    """
    if rung.kind is Kind.HALF:
        return _half(model), ()
    if rung.kind is Kind.DYNAMIC:
        return _dynamic(model, rung, out), ()
    if calibration is None:
        raise ValueError("static quantization needs calibration")
    return _static(model, rung, calibration, out)


def _half(model: Path) -> Any:  # noqa: ANN401 (onnx)
    """Return weights and sums in 16 bits, ends in 32."""
    onnx, float16 = need("onnx"), need("onnxruntime.transformers.float16")
    loaded = onnx.load(model)
    return float16.convert_float_to_float16(loaded, keep_io_types=True)


def _dynamic(model: Path, rung: Rung, out: Path) -> Any:  # noqa: ANN401 (onnx)
    """Quantize matrix products only: dynamic convolutions are an order of magnitude slower."""
    onnx, quantization = need("onnx"), need("onnxruntime.quantization")
    prepared = out.with_suffix(".prepared.onnx")
    prepare(model, prepared)
    loaded = onnx.load(prepared)
    graph = loaded.graph
    weights = {tensor.name for tensor in graph.initializer}
    products = [n for n in graph.node if n.op_type in {"MatMul", "Gemm"}]
    if not any(name in weights for node in products for name in node.input[1:2]):
        raise TargetError(
            "onnx has nothing to gain from int8-dynamic here: no matrix product with weights",
            todo="use int8",
        )
    # It infers shapes again, and takes the known ones of recurrent layers for contradictions.
    del graph.value_info[:]
    onnx.save(loaded, prepared)
    quantization.quantize_dynamic(
        prepared,
        out,
        op_types_to_quantize=["MatMul", "Gemm"],
        per_channel=True,
        reduce_range=rung.arithmetic is Arithmetic.PORTABLE,
        weight_type=quantization.QuantType.QInt8,
    )
    return onnx.load(out)


def _static(model: Path, rung: Rung, calibration: Calibration, out: Path) -> Quantized:
    onnx = need("onnx")
    prepared = out.with_suffix(".prepared.onnx")
    prepare(model, prepared)
    # What is learnt about an equalised file holds for no other.
    kept = model.with_suffix(".equalized.onnx") if rung.equalizes else model
    if rung.equalizes and not equalize(prepared):
        raise TargetError("onnx has nothing to equalise here: no two layers with ReLU between")
    ranges, warnings = _ranges(prepared, kept, rung.method, calibration)
    left_out: Sequence[str] = ()
    if rung.float_share:
        ranked = _ranked(prepared, out, calibration, ranges)
        left_out = ranked[: max(1, round(rung.float_share * len(ranked)))]
    only = unfused_layers(prepared) if rung.leaves_fused else ()
    _run(prepared, out, ranges, rung, only=only, left_out=left_out)
    if rung.corrects_bias:
        observe.correct_biases(prepared, onnx.load(out), calibration)
        _run(prepared, out, ranges, rung, only=only, left_out=left_out)
    return onnx.load(out), warnings


def _ranges(
    prepared: Path, kept: Path, method: Method, calibration: Calibration
) -> tuple[Path, tuple[str, ...]]:
    """Return the file of ranges that a method chooses, and what to know about them."""
    exact, told = kept.with_suffix(".ranges.json"), kept.with_suffix(".ranges.txt")
    if not exact.exists():
        told.write_text("\n".join(take_ranges(prepared, exact, calibration)))
    if method is Method.MIN_MAX:
        return exact, tuple(told.read_text().splitlines())
    chosen = kept.with_suffix(f".{method}.json")
    if not chosen.exists():
        choose_ranges(prepared, exact, chosen, method, calibration)
    return chosen, ()


def unfused_layers(model: Path) -> list[str]:
    """Return layers with weights, all where nothing is fused in float only; their names are set."""
    nodes = need("onnx").load(model, load_external_data=False).graph.node
    fused = {name for n in nodes if n.op_type in _FUSED_IN_FLOAT for name in n.input}
    layers = [n for n in nodes if n.op_type in _WEIGHTED]
    return [n.name for n in layers if n.op_type != "Conv" or n.output[0] not in fused]


def has_fused_layers(model: Path) -> bool:
    """Say whether a float file has convolutions that are fused in float only, and other layers."""
    nodes = need("onnx").load(model, load_external_data=False).graph.node
    layers = sum(n.op_type in _WEIGHTED for n in nodes)
    return 0 < len(unfused_layers(model)) < layers


def _ranked(prepared: Path, out: Path, calibration: Calibration, ranges: Path) -> list[str]:
    """Return the layers, the one whose quantization alone costs most first."""
    kept = ranges.with_suffix(".ranked.txt")
    if not kept.exists():
        layers = [n.name for n in need("onnx").load(prepared).graph.node if n.op_type in _WEIGHTED]
        alone = out.with_suffix(".alone.onnx")
        rung = Rung(name="alone", precision=Precision.INT8)

        def quantize_alone(layer: str) -> Path:
            _run(prepared, alone, ranges, rung, only=(layer,))
            return alone

        ranked = observe.rank_layers(prepared, layers, quantize_alone, calibration)
        kept.write_text("\n".join(ranked))
    return kept.read_text().split("\n")


def _run(
    prepared: Path,
    out: Path,
    ranges: Path,
    rung: Rung,
    *,
    only: Sequence[str] = (),
    left_out: Sequence[str] = (),
) -> None:
    """Write the file with ranges that were taken."""
    quantization = need("onnxruntime.quantization")
    kinds = quantization.QuantType
    quantization.quantize_static(
        prepared,
        out,
        None,
        quant_format=quantization.QuantFormat.QDQ,
        activation_type=_activations(rung),
        weight_type=kinds.QInt8,
        per_channel=True,
        reduce_range=rung.arithmetic is Arithmetic.PORTABLE,
        calibrate_method=quantization.CalibrationMethod.MinMax,
        nodes_to_quantize=list(only),
        nodes_to_exclude=list(left_out),
        calibration_cache_path=ranges,
        extra_options={"UseQDQContribOps": rung.activation_bits == 16},
    )


def _activations(rung: Rung) -> Any:  # noqa: ANN401 (onnxruntime)
    kinds = need("onnxruntime.quantization").QuantType
    if rung.activation_bits == 16:
        return kinds.QInt16
    return kinds.QInt8 if rung.arithmetic is Arithmetic.S8S8 else kinds.QUInt8


def prepare(model: Path, out: Path) -> None:
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
    for index, node in enumerate(prepared.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    onnx.save(prepared, out)


def _keep(values: Any, wanted: Callable[[Any], bool]) -> None:  # noqa: ANN401 (onnx)
    kept = [value for value in values if wanted(value)]
    del values[:]
    values.extend(kept)
