"""Which runtimes work on this machine, and which of them opens a model file."""

from __future__ import annotations

from pathlib import Path

from edgekit.errors import MissingExtraError
from edgekit.manifest import ModelFormat
from edgekit.runtime.base import Runtime, Session
from edgekit.runtime.onnx import OnnxRuntime
from edgekit.runtime.openvino import OpenVino
from edgekit.runtime.tflite import LiteRt, TfliteRuntime

# In order of preference for each format.
_RUNTIMES: tuple[Runtime, ...] = (OnnxRuntime(), LiteRt(), TfliteRuntime(), OpenVino())


def available_runtimes() -> dict[str, str]:
    """Return name and version of every runtime that is installed and really runs here."""
    versions = {runtime.name: runtime.version() for runtime in _RUNTIMES}
    return {name: version for name, version in versions.items() if version}


def runtime_for(model_format: ModelFormat) -> Runtime:
    """Return the preferred runtime that works here for a format.

    Raises:
        MissingExtraError: None is installed.
    """
    candidates = [r for r in _RUNTIMES if r.format == model_format]
    for runtime in candidates:
        if runtime.version():
            return runtime
    raise MissingExtraError(candidates[0].name, candidates[0].extra)


def open_session(model: Path, model_format: ModelFormat, *, threads: int = 1) -> Session:
    """Load a model file with the preferred runtime for its format.

    Raises:
        MissingExtraError: No runtime for the format is installed.
        RuntimeFailedError: The runtime refuses the file.
    """
    return runtime_for(model_format).open(model, threads=threads)
