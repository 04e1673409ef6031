"""Olive's static quantization pass with its defaults."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["OLIVE_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnx
from olive.data.config import DataComponentConfig, DataConfig  # type: ignore[import-not-found]
from olive.data.registry import Registry  # type: ignore[import-not-found]
from olive.model import ONNXModelHandler  # type: ignore[import-not-found]
from olive.passes.olive_pass import create_pass_from_dict  # type: ignore[import-not-found]
from olive.passes.onnx.quantization import OnnxStaticQuantization  # type: ignore[import-not-found]


def main(model: str, samples: str, out: str) -> None:
    """Quantize."""
    name = onnx.load(model).graph.input[0].name
    tensors = np.load(samples)["tensors"]

    class Samples:
        def __len__(self) -> int:
            return len(tensors)

        def __getitem__(self, index: int) -> tuple[dict[str, Any], int]:
            return {name: tensors[index]}, 0

    @Registry.register_dataset("ready_samples")  # type: ignore[untyped-decorator]
    def ready_samples(**_: Any) -> Samples:  # noqa: ANN401 (the library's signature)
        return Samples()

    data = DataConfig(
        name="ready_samples",
        load_dataset_config=DataComponentConfig(type="ready_samples"),
        pre_process_data_config=DataComponentConfig(type="skip_pre_process"),
        post_process_data_config=DataComponentConfig(type="skip_post_process"),
    )
    given = create_pass_from_dict(
        OnnxStaticQuantization, {"data_config": data}, disable_search=True
    )
    with tempfile.TemporaryDirectory() as folder:
        made = given.run(ONNXModelHandler(model), str(Path(folder) / "made.onnx"))
        onnx.save(onnx.load(made.model_path), out)


if __name__ == "__main__":
    main(*sys.argv[1:4])
