"""Bodies that devices compress: gzip, deflate and zstd, unpacked within bounds. Pure."""

from __future__ import annotations

import zlib

from edgekit import zstd
from edgekit.errors import FormatError
from fleet_server.services.errors import TooLargeError

MAX_UNPACKED_BYTES = 16 << 20
ACCEPTED = {"Accept-Encoding": "zstd, gzip, deflate"}
"""Header that tells a device what its next body may be. Source: RFC 7694."""
_AUTO_ZLIB_OR_GZIP = 47
_WINDOW_LOG = 24
_ENCODINGS = {"gzip", "x-gzip", "deflate", "zlib"}


def unpack(body: bytes, encoding: str) -> bytes:
    """Undo a Content-Encoding, bounded.

    Raises:
        FormatError: Unknown encoding, damaged or cut off.
        TooLargeError: It would become larger than 16 MiB.
    """
    if encoding in {"", "identity"}:
        return body
    if encoding == "zstd":
        return _unpack_zstd(body)
    if encoding not in _ENCODINGS:
        raise FormatError("unknown Content-Encoding", where="telemetry")
    unpacker = zlib.decompressobj(wbits=_AUTO_ZLIB_OR_GZIP)
    try:
        unpacked = unpacker.decompress(body, MAX_UNPACKED_BYTES)
    except zlib.error as error:
        raise FormatError("the body is not compressed as it says", where="telemetry") from error
    if unpacker.unconsumed_tail:
        raise TooLargeError("the body unpacks to more than allowed", where="telemetry")
    if not unpacker.eof:
        raise FormatError("the compressed body is cut off", where="telemetry")
    return unpacked


def _unpack_zstd(body: bytes) -> bytes:
    try:
        return zstd.decompress(body, max_bytes=MAX_UNPACKED_BYTES, window_log=_WINDOW_LOG)
    except zstd.OversizeError as error:
        raise TooLargeError("the body unpacks to more than allowed", where="telemetry") from error
    except FormatError as error:
        raise FormatError("the body is not compressed as it says", where="telemetry") from error
