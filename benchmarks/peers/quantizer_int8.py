"""ai-edge-quantizer's static int8 with its defaults: `FLOAT.tflite SAMPLES.npz OUT.tflite`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from ai_edge_quantizer import quantizer, recipe


def main(model: str, samples: str, out: str) -> None:
    """Quantize."""
    made = quantizer.Quantizer(model, recipe.static_wi8_ai8())
    signature, ends = (
        next(iter(made.get_signature_list().items()))
        if hasattr(made, "get_signature_list")
        else ("serving_default", {"inputs": ["args_0"]})
    )
    name = next(iter(ends["inputs"]))
    tensors = np.load(samples)["tensors"]
    ranges = made.calibrate({signature: [{name: tensor[np.newaxis]} for tensor in tensors]})
    Path(out).write_bytes(bytes(made.quantize(ranges).quantized_model))


if __name__ == "__main__":
    main(*sys.argv[1:4])
