"""NNCF's post-training quantization of an ONNX model with its defaults."""

from __future__ import annotations

import sys

import nncf
import numpy as np
import onnx


def main(model: str, samples: str, out: str) -> None:
    """Quantize."""
    graph = onnx.load(model)
    name = graph.graph.input[0].name
    tensors = np.load(samples)["tensors"]
    feeds = nncf.Dataset([{name: tensor[np.newaxis]} for tensor in tensors])
    onnx.save(nncf.quantize(graph, feeds, subset_size=len(tensors)), out)


if __name__ == "__main__":
    main(*sys.argv[1:4])
