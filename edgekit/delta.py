"""Deltas between two bundles: what the server makes once and the device applies.

Two ways, the smaller one is kept: `patch` compresses the new bundle with the old one as its prefix
(good when parts were inserted or kept), `subtract` takes the bytes of files of equal name and
length from one another and groups the differences by significance (good when every weight moved a
little). Deltas of 0.1.0 by `xor` are still applied.
A delta is not trusted: the digest of the whole bundle, which people signed, decides.

    one line of JSON (`Head`), then one zstd frame
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from edgekit import codec, zstd
from edgekit.errors import BundleError, FormatError

FORMAT_MAJOR = 1
WORTH = 0.6
"""A delta is worth having below this share of the whole bundle."""
LEVEL = 19
PLANES = (1, 4)
_MAX_HEAD = 1 << 20
_MAX_WINDOW_LOG = 30


class Way(StrEnum):
    """How the frame relates to the old bundle."""

    PATCH = "patch"
    SUBTRACT = "subtract"
    XOR = "xor"
    """Read, no longer made: a weight that moved by one changes one bit, or all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Bytes of the new bundle that are compared with bytes of the old one."""

    new: int
    old: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """How to read a delta.

    Attributes:
        way: What the frame holds.
        size: Length of the new bundle, bytes.
        window_log: Window of the frame, as a power of two.
        planes: Bytes of an element, whose equal bytes stand together; not for `patch`.
        segments: What is compared with what; not for `patch`.
        format_version: Of this format, "major.minor".
    """

    way: Way
    size: int
    window_log: int
    planes: int = 1
    segments: tuple[Segment, ...] = ()
    format_version: str = "1.0"


def make_delta(old: bytes, new: bytes) -> bytes:
    """Return the smallest delta from one bundle to another.

    Raises:
        BundleError: One of them is no bundle.
        MissingExtraError: the zstd library is not installed.
    """
    log = window_log(len(old) + len(new))
    patch = Head(way=Way.PATCH, size=len(new), window_log=log)
    made = [_joined(patch, zstd.compress(new, level=LEVEL, window_log=log, prefix=old))]
    segments = matching_segments(old, new)
    if segments:
        difference = _combined(new, old, segments, np.subtract)
        for planes in PLANES:
            head = replace(patch, way=Way.SUBTRACT, planes=planes, segments=segments)
            grouped = _grouped(difference, planes)
            made.append(_joined(head, zstd.compress(grouped, level=LEVEL, window_log=log)))
    return min(made, key=len)


def apply_delta(old: bytes, delta: bytes, *, size: int) -> bytes:
    """Return the new bundle; whether it is the right one is for its digest to say.

    Args:
        old: The bundle that the delta was made from.
        delta: What came from the server.
        size: Signed length of the new bundle: a delta to anything longer is refused before it
            is unpacked.

    Raises:
        BundleError: It is no delta, of another length, or does not suit `old`.
        MissingExtraError: the zstd library is not installed.
    """
    line, found, frame = delta.partition(b"\n")
    if not found or len(line) > _MAX_HEAD:
        raise BundleError("is no delta")
    try:
        head = codec.decode(line, Head, where="delta")
        codec.check_major(head.format_version, FORMAT_MAJOR, where="delta")
    except FormatError as error:
        raise BundleError(f"is no delta: {error.what}") from error
    if head.size != size or not 10 <= head.window_log <= _MAX_WINDOW_LOG:
        raise BundleError(f"leads to {head.size} bytes, signed are {size}")
    data = _unpacked(frame, head, prefix=old if head.way is Way.PATCH else b"")
    if head.way is Way.PATCH:
        return data
    undo = np.add if head.way is Way.SUBTRACT else np.bitwise_xor
    return _combined(_ungrouped(data, head.planes), old, head.segments, undo)


def window_log(size: int) -> int:
    """Return the power of two whose window holds `size` bytes, in [10, 30]."""
    return max(10, min(_MAX_WINDOW_LOG, (size - 1).bit_length()))


def matching_segments(old: bytes, new: bytes) -> tuple[Segment, ...]:
    """Return the files that both bundles hold under one name and with one length.

    Raises:
        BundleError: One of them is no bundle.
    """
    before, after = _places(old), _places(new)
    return tuple(
        Segment(new=start, old=before[name][0], size=size)
        for name, (start, size) in sorted(after.items())
        if size and before.get(name, (0, -1))[1] == size
    )


def _places(bundle: bytes) -> dict[str, tuple[int, int]]:
    """Return where the bytes of each file lie: start and length, by name."""
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            return {
                one.filename: (_start(bundle, one.header_offset), one.file_size)
                for one in archive.infolist()
            }
    except (zipfile.BadZipFile, IndexError) as error:
        raise BundleError("is no bundle") from error


def _start(bundle: bytes, header: int) -> int:
    """Return where a file begins behind its local header. Source: APPNOTE.TXT 6.3.9, 4.3.7."""
    name, extra = (int.from_bytes(bundle[header + i : header + i + 2], "little") for i in (26, 28))
    return header + 30 + name + extra


def _combined(data: bytes, old: bytes, segments: Sequence[Segment], how: np.ufunc) -> bytes:
    """Return `data` with its segments combined with those of `old`, byte by byte, modulo 256."""
    result, base = np.frombuffer(data, np.uint8).copy(), np.frombuffer(old, np.uint8)
    for one in segments:
        if min(one.new, one.old, one.size) < 0 or one.new + one.size > len(result):
            raise BundleError("a segment lies outside the bundle")
        if one.old + one.size > len(base):
            raise BundleError("a segment lies outside the old bundle")
        here = result[one.new : one.new + one.size]
        how(here, base[one.old : one.old + one.size], out=here)
    return result.tobytes()


def _grouped(data: bytes, planes: int) -> bytes:
    whole = len(data) // planes * planes
    table = np.frombuffer(data, np.uint8)[:whole].reshape(-1, planes)
    return table.T.tobytes() + data[whole:]


def _ungrouped(data: bytes, planes: int) -> bytes:
    if planes not in PLANES:
        raise BundleError(f"has {planes} planes")
    whole = len(data) // planes * planes
    table = np.frombuffer(data, np.uint8)[:whole].reshape(planes, -1)
    return table.T.tobytes() + data[whole:]


def _joined(head: Head, frame: bytes) -> bytes:
    return codec.encode(head) + b"\n" + frame


def _unpacked(frame: bytes, head: Head, *, prefix: bytes) -> bytes:
    try:
        data = zstd.decompress(
            frame, max_bytes=head.size, window_log=head.window_log, prefix=prefix
        )
    except FormatError as error:
        raise BundleError(f"cannot be unpacked ({error.what})") from error
    if len(data) != head.size:
        raise BundleError("holds another length than it says")
    return data
