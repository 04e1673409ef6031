"""Zstandard frames, unpacked within bounds: the one place that knows which library does it.

From Python 3.14 on it is in the standard library; before, backports.zstd has the same interface.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

from edgekit.errors import FormatError, MissingExtraError

_MODULE = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
_MIN_PREFIX = 8
"""The library takes nothing shorter for a dictionary."""


class OversizeError(FormatError):
    """A frame holds more than it may."""


def is_installed() -> bool:
    """Say whether frames can be made and read here."""
    try:
        return importlib.util.find_spec(_MODULE) is not None
    except ModuleNotFoundError:  # not even the package around it
        return False


def compress(
    data: bytes, *, level: int, window_log: int | None = None, prefix: bytes = b""
) -> bytes:
    """Return one frame.

    Args:
        data: What it shall hold.
        level: Of the library, 1 to 22.
        window_log: Window as a power of two, in [10, 31], searched over its whole length; None
            leaves both to the level.
        prefix: What both sides have; a match may lie in it.

    Raises:
        MissingExtraError: The library is not installed.
    """
    zstd = _library()
    parameter = zstd.CompressionParameter
    options = {parameter.compression_level: level}
    if window_log is not None:
        options[parameter.window_log] = window_log
        options[parameter.enable_long_distance_matching] = 1
    frame: bytes = zstd.compress(data, options=options, zstd_dict=_prefix(zstd, prefix))
    return frame


def decompress(frame: bytes, *, max_bytes: int, window_log: int, prefix: bytes = b"") -> bytes:
    """Return what a frame holds.

    Args:
        frame: One whole frame and nothing else.
        max_bytes: Most that it may hold; no more is unpacked.
        window_log: Largest window that it may ask for, as a power of two, in [10, 31].
        prefix: As it was made with.

    Raises:
        OversizeError: It holds more.
        FormatError: It is none, damaged, cut off, followed by something, or asks for a larger
            window.
        MissingExtraError: The library is not installed.
    """
    zstd = _library()
    options = {zstd.DecompressionParameter.window_log_max: window_log}
    unpacker = zstd.ZstdDecompressor(zstd_dict=_prefix(zstd, prefix), options=options)
    try:
        data: bytes = unpacker.decompress(frame, max_length=max_bytes + 1)
    except zstd.ZstdError as error:
        raise FormatError(f"is no zstd frame ({error})") from error
    if len(data) > max_bytes:
        raise OversizeError(f"holds more than {max_bytes} bytes")
    if not unpacker.eof:
        raise FormatError("is a zstd frame that was cut off")
    if unpacker.unused_data:
        raise FormatError("goes on behind its zstd frame")
    return data


def _prefix(zstd: Any, prefix: bytes) -> Any:  # noqa: ANN401 (a module, and what it makes)
    if len(prefix) < _MIN_PREFIX:
        return None
    return zstd.ZstdDict(prefix, is_raw=True).as_prefix


def _library() -> Any:  # noqa: ANN401 (a module)
    try:
        return importlib.import_module(_MODULE)
    except ModuleNotFoundError as error:
        if error.name not in {_MODULE, _MODULE.partition(".")[0]}:
            raise
        raise MissingExtraError(_MODULE, "zstd") from error
