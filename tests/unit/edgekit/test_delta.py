"""Rules of deltas between bundles."""

from __future__ import annotations

import contextlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgekit.delta import Head, Way, apply_delta, make_delta, window_log
from edgekit.errors import BundleError

RECORDED = Path(__file__).parents[2] / "fixtures" / "0.1.0" / "delta"
RNG = np.random.default_rng(7)
WEIGHTS = RNG.normal(0, 0.05, 60_000).astype(np.float32)


def bundle(weights: bytes, *, version: str = "1.0.0") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("manifest.json", f'{{"version":"{version}"}}')
        archive.writestr("model.onnx", weights)
    return out.getvalue()


OLD = bundle(WEIGHTS.tobytes())
MOVED = (WEIGHTS + RNG.normal(0, 1e-5, WEIGHTS.shape)).astype(np.float32)
INT8 = RNG.integers(-40, 40, 60_000).astype(np.int8)
NEAR = (INT8 + RNG.integers(-1, 2, INT8.shape)).astype(np.int8)
PAIRS = {
    "all weights moved": (OLD, bundle(MOVED.tobytes(), version="1.0.10"), Way.SUBTRACT, 0.6),
    "int8, all moved": (
        bundle(INT8.tobytes()),
        bundle(NEAR.tobytes(), version="1.0.10"),
        Way.SUBTRACT,
        0.35,
    ),
    "some bytes more": (
        OLD,
        bundle(WEIGHTS.tobytes()[:1000] + b"more" * 9 + WEIGHTS.tobytes()[1000:]),
        Way.PATCH,
        0.05,
    ),
    "the same": (OLD, OLD, None, 0.05),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_a_delta_leads_to_the_new_bundle_and_is_small(pair: str) -> None:
    old, new, way, share = PAIRS[pair]
    delta = make_delta(old, new)
    assert apply_delta(old, delta, size=len(new)) == new
    assert len(delta) < share * len(new)
    assert way is None or f'"way":"{way}"'.encode() in delta[:2000]


def test_a_delta_to_another_length_is_refused_before_it_is_unpacked() -> None:
    delta = make_delta(OLD, OLD)
    with pytest.raises(BundleError, match="signed are"):
        apply_delta(OLD, delta, size=len(OLD) - 1)


@pytest.mark.parametrize("seed", range(40))
def test_damage_is_an_error_or_another_digest_never_more_bytes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    new = PAIRS["all weights moved"][1]
    delta = bytearray(make_delta(OLD, new)) if seed == 0 else bytearray(DELTA)
    for at in rng.integers(0, len(delta), 3):
        delta[at] ^= 1 << int(rng.integers(0, 8))
    with contextlib.suppress(BundleError):
        assert len(apply_delta(OLD, bytes(delta), size=len(new))) == len(new)


DELTA = make_delta(OLD, PAIRS["all weights moved"][1])


@pytest.mark.parametrize("way", ["moved", "more"])
def test_a_delta_that_0_1_0_made_is_applied(way: str) -> None:
    old, new, delta = (
        (RECORDED / name).read_bytes() for name in ("old.bundle", f"{way}.bundle", f"{way}.delta")
    )
    assert apply_delta(old, delta, size=len(new)) == new


@pytest.mark.parametrize("data", [b"", b"\n", b"{}\n", b"x" * 100, b"[1]\nabc"])
def test_what_is_no_delta_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError):
        apply_delta(OLD, data, size=len(OLD))


def test_a_delta_for_another_bundle_does_not_pass_as_the_new_one() -> None:
    other = bundle(b"something else" * 999)
    with pytest.raises(BundleError):
        apply_delta(other, DELTA, size=len(PAIRS["all weights moved"][1]))


@pytest.mark.parametrize(("size", "log"), [(1, 10), (1024, 10), (1025, 11), (1 << 40, 30)])
def test_the_window_holds_both(size: int, log: int) -> None:
    assert window_log(size) == log


def test_a_head_says_all_that_is_needed() -> None:
    head = Head(way=Way.PATCH, size=3, window_log=10)
    assert (head.planes, head.segments, head.format_version) == (1, (), "1.0")
