"""What steps of earlier conversions finished, found again by everything that it depends on.

A conversion that was interrupted goes on where it was, and one that changes a recipe only does what
is new. Without a cache every step is made.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

import converters
import edgekit
from converters.cache import Cache, key_of
from converters.capture import Captured
from converters.extras import tool_versions
from converters.source import OnnxSource
from edgekit.bench import record
from edgekit.bundle import file_digest
from edgekit.errors import StorageError
from edgekit.runtime.base import Tensor

_TOOLS = (
    "edgekit", "numpy", "torch", "onnx", "onnxscript", "onnxruntime", "litert-torch", "torchao",
    "ai-edge-litert", "ai-edge-quantizer", "tflite-runtime", "openvino", "nncf",
    "opencv-python-headless",
)  # fmt: skip


class Finished:
    """Finished steps. What cannot be kept (a full disk) is made again next time."""

    def __init__(self, cache: Cache | None, reused: Callable[[str], None]) -> None:
        """Look into a cache.

        Args:
            cache: Where results are kept; None keeps nothing.
            reused: Told the variant (or the model) of which a step was found.
        """
        self._cache, self._reused = cache, reused

    def file(
        self, step: str, name: str, out: Path, make: Callable[[], Sequence[str]], **facts: object
    ) -> tuple[str, ...]:
        """Have a file at `out`: the one that was made of the same facts, or a new one.

        Args:
            step: Kind of result.
            name: Of the variant, to tell.
            out: Where to.
            make: Writes it there, and returns what a person should know about it.
            facts: All that it depends on besides the tools, JSON values and dataclasses.

        Returns:
            What a person should know about it, a line each.
        """
        key = self._key(facts)
        told = f"{step}-told"
        if self._cache is None:
            return tuple(make())
        found, lines = self._cache.find(step, key), self._cache.find(told, key)
        if found and lines:
            shutil.copyfile(found, out)
            self._reused(name)
            return tuple(lines.read_text(encoding="utf-8").splitlines())
        made = tuple(make())
        with suppress(StorageError):
            self._cache.keep(step, key, out)
            self._cache.put(told, key, lambda path: _write_lines(path, made))
        return made

    def arrays(
        self, step: str, name: str, make: Callable[[], Mapping[str, Tensor]], **facts: object
    ) -> Mapping[str, Tensor]:
        """Return arrays by name: those that were made of the same facts, or new ones."""
        key = self._key({**facts, "machine": _machine()})
        found = self._cache and self._cache.find(step, key)
        if found:
            self._reused(name)
            with np.load(found, allow_pickle=False) as kept:
                return dict(kept)
        made = make()
        if self._cache is not None:
            with suppress(StorageError):
                self._cache.put(step, key, functools.partial(_save, made))
        return made

    def _key(self, facts: Mapping[str, object]) -> str:
        return key_of(tools=tool_versions(_TOOLS), code=_own_code(), facts=facts)


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _save(arrays: Mapping[str, Tensor], path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type] # (arrays by name)


def code_digest(thing: object) -> str:
    """Return the SHA-256 of the file that a class comes from; empty where there is none."""
    try:
        return file_digest(Path(inspect.getfile(type(thing))))
    except (OSError, TypeError):
        return ""


def source_digest(captured: Captured) -> str:
    """Return the SHA-256 of what a source computes: its graph, its constants, its weights.

    The code of a module may come from any file, so that the traced graph is what counts.
    """
    digest = hashlib.sha256(repr(sorted(captured.source.digests.items())).encode())
    digest.update(repr((captured.inputs, captured.outputs, captured.dynamic)).encode())
    if isinstance(captured.source, OnnxSource):
        return digest.hexdigest()
    digest.update(str(captured.program.graph).encode())
    tensors = {**captured.program.constants, **captured.program.state_dict}
    for name, value in sorted(tensors.items()):
        digest.update(name.encode())
        if hasattr(value, "detach"):
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@functools.cache
def _own_code() -> str:
    """Return a digest of the code that converts: what it makes may change with every line."""
    digest = hashlib.sha256()
    for package in (converters, edgekit):
        for folder in package.__path__:
            for file in sorted(Path(folder).rglob("*.py")):
                digest.update(file.read_bytes())
    return digest.hexdigest()


@functools.cache
def _machine() -> str:
    """Return the processor: integer answers may differ between two."""
    return record().cpu
