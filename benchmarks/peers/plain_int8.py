"""ONNX Runtime's own static quantization with its defaults."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import quantize_static


class _Reader:
    def __init__(self, name: str, samples: Any) -> None:  # noqa: ANN401 (an array)
        self._feeds = iter([{name: sample[np.newaxis]} for sample in samples])

    def get_next(self) -> Any:  # noqa: ANN401 (the library's signature)
        return next(self._feeds, None)


def main(model: str, samples: str, out: str) -> None:
    """Quantize."""
    name = ort.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()[0].name
    quantize_static(model, out, _Reader(name, np.load(samples)["tensors"]))


if __name__ == "__main__":
    main(*sys.argv[1:4])
