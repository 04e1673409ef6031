"""NNCF's post-training quantization of an OpenVINO model with its defaults."""

from __future__ import annotations

import sys

import nncf
import numpy as np
import openvino


def main(model: str, samples: str, out: str) -> None:
    """Quantize."""
    loaded = openvino.Core().read_model(model)
    name = loaded.inputs[0].get_any_name()
    tensors = np.load(samples)["tensors"]
    feeds = nncf.Dataset([{name: tensor[np.newaxis]} for tensor in tensors])
    quantized = nncf.quantize(loaded, feeds, subset_size=len(tensors))
    openvino.save_model(quantized, out, compress_to_fp16=False)


if __name__ == "__main__":
    main(*sys.argv[1:4])
