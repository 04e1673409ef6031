"""One plain manifest; a test that needs another says what differs, by `dataclasses.replace`."""

from __future__ import annotations

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
