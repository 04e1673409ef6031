"""How many bytes does an update cost by delta, beside the whole bundle and zstd -19 of it?

Pairs of 17 MB float32 and 4.3 MB int8 models of normal weights: all weights moved by 1e-2 or 1e-4
of their spread, the head only, ten classes more (a tenth of everything in the short form). Each
delta is applied and compared. The data are of one seed, and no time is compared: one run tells.
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Iterator

import numpy as np

from edgekit import zstd
from edgekit.bench import Result, ratio, summarize
from edgekit.bench.statistics import Ratio
from edgekit.delta import LEVEL, apply_delta, make_delta
from edgekit.errors import ProofError

QUESTION = "bytes on the wire of one update"
WEIGHTS = 4_250_000
HEAD = WEIGHTS // 4
CLASS = 1280


def run(short: bool) -> list[Result]:
    """Measure every pair; the short form takes models of a tenth of the size."""
    results: list[Result] = []
    for pair, (old, new) in _pairs(WEIGHTS // 10 if short else WEIGHTS):
        results += _compare(pair, old, new)
    return results


def _pairs(count: int) -> Iterator[tuple[str, tuple[bytes, bytes]]]:
    rng = np.random.default_rng(11)
    spread = 0.05
    weights = rng.normal(0, spread, count).astype(np.float32)
    noise = rng.normal(0, spread, count).astype(np.float32)
    head = np.where(np.arange(count) < count - count // 4, 0, noise)
    more = rng.normal(0, spread, 10 * CLASS * count // WEIGHTS).astype(np.float32)
    yield "fp32, all moved 1e-2", _bundles(weights, weights + np.float32(1e-2) * noise)
    yield "fp32, all moved 1e-4", _bundles(weights, weights + np.float32(1e-4) * noise)
    yield "fp32, head only", _bundles(weights, weights + head.astype(np.float32))
    yield "fp32, ten classes more", _bundles(weights, np.concatenate([weights, more]))
    yield (
        "int8 of the 1e-2 pair",
        _bundles(_int8(weights), _int8(weights + np.float32(1e-2) * noise)),
    )


def _int8(weights: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(weights / 0.0015), -127, 127).astype(np.int8)


def _bundles(old: np.ndarray, new: np.ndarray) -> tuple[bytes, bytes]:
    return _bundle(old, "1.0.0"), _bundle(new, "1.10.0")


def _bundle(weights: np.ndarray, version: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("manifest.json", f'{{"version":"{version}"}}')
        archive.writestr("model.onnx", weights.tobytes())
    return out.getvalue()


def _compare(pair: str, old: bytes, new: bytes) -> list[Result]:
    alone = len(zstd.compress(new, level=LEVEL))
    began = time.perf_counter()
    delta = make_delta(old, new)
    made = time.perf_counter()
    if apply_delta(old, delta, size=len(new)) != new:
        raise ProofError("the delta does not lead to the new bundle", where=pair)
    applied = time.perf_counter()
    numbers = {
        "share": len(delta) / len(new),
        "make_s": made - began,
        "apply_s": applied - made,
    }
    return [
        _result(pair, "whole bundle", len(new), len(new), {}),
        _result(pair, "zstd -19", alone, len(new), {"share": alone / len(new)}),
        _result(pair, "delta", len(delta), len(new), numbers),
    ]


def _result(pair: str, candidate: str, size: int, whole: int, numbers: dict[str, float]) -> Result:
    over: Ratio | None = None
    if candidate != "whole bundle":
        over = ratio([float(size)], [float(whole)], rng=np.random.default_rng(1))
    return Result(
        question=QUESTION,
        candidate=candidate,
        condition=pair,
        summary=summarize([float(size)], unit="bytes"),
        ratio=over,
        numbers=numbers,
    )
