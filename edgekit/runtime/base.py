"""The seams between EdgeKit and the inference runtimes."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from edgekit.manifest import ModelFormat, TensorSpec

Tensor: TypeAlias = npt.NDArray[Any]
FloatArray: TypeAlias = npt.NDArray[np.float32]


class Session(Protocol):
    """A loaded model. Not thread-safe: one thread at a time."""

    @property
    def runtime(self) -> str:
        """Name of the runtime: "onnxruntime", "litert", "tflite-runtime" or "openvino"."""

    @property
    def provider(self) -> str:
        """Execution provider that really runs the model, such as "cpu"."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The model's inputs, in order."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The model's outputs, in order."""

    def run(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Compute the outputs for one tensor per input, in order.

        The results are the caller's: a later call does not change them.

        Raises:
            RuntimeFailedError: Wrong shape or type, or the runtime failed.
        """


class Runtime(Protocol):
    """A way to open one kind of model file."""

    @property
    def name(self) -> str:
        """Name of the runtime: "onnxruntime", "litert", "tflite-runtime" or "openvino"."""

    @property
    def format(self) -> ModelFormat:
        """The model files that it opens."""

    @property
    def extra(self) -> str:
        """Extra of EdgeKit that installs it, such as "agent"."""

    def version(self) -> str:
        """Return the installed version; empty when it is not installed or cannot run."""

    def open(self, model: Path, *, threads: int = 1) -> Session:
        """Load a model file.

        Raises:
            RuntimeFailedError: The runtime refuses the file.
            MissingExtraError: The runtime is not installed.
        """


def installed_version(package: str) -> str:
    """Return a package's version, read without importing it; empty when it is absent."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def first_line(error: Exception) -> str:
    """Return the first line of a runtime's message, at most 200 characters."""
    return (str(error).strip() or repr(error)).splitlines()[0][:200]
