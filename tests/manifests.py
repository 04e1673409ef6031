"""One plain manifest, and a bundle of it without a model.

A test that needs another manifest says what differs, by `dataclasses.replace`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgekit.bundle import Bundle, write_bundle
from edgekit.device import Requirements, RuntimeRange
from edgekit.manifest import GoldenSpec, Lineage, Manifest, ModelFormat, Precision, Quality

PLAIN = Manifest(
    model="digits",
    version="1.0.0",
    variant="onnx-fp32",
    format=ModelFormat.ONNX,
    precision=Precision.FP32,
    file="model.onnx",
    inputs=(),
    outputs=(),
    requires=Requirements(runtimes=(RuntimeRange(name="onnxruntime"),)),
    golden=GoldenSpec(count=1, atol=0.1),
    quality=Quality(
        metric="top1",
        samples=1,
        accuracy=1.0,
        reference_accuracy=1.0,
        max_abs_diff=0.0,
        sqnr_db=200.0,
        agreement=1.0,
    ),
    lineage=Lineage(source="test", digests={}, recipe="fp32", tools={}),
)


def make_bundle(
    folder: Path, version: str, *, model: str = "digits", variant: str = "onnx-fp32", size: int = 0
) -> Bundle:
    """Write a bundle whose model file is no model: a server never runs one."""
    runtime = "onnxruntime" if variant.startswith("onnx") else "litert"
    manifest = replace(
        PLAIN,
        model=model,
        version=version,
        variant=variant,
        format=ModelFormat.ONNX if runtime == "onnxruntime" else ModelFormat.TFLITE,
        file="model.bin",
        requires=Requirements(runtimes=(RuntimeRange(name=runtime),)),
        golden=GoldenSpec(count=0, atol=0.0),
    )
    content = f"{model} {version} {variant}".encode() * 1000 + bytes(size)
    folder.mkdir(parents=True, exist_ok=True)
    return write_bundle(
        folder / f"{model}-{version}-{variant}.bundle", manifest, {"model.bin": content}
    )
