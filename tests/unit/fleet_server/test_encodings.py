"""Bodies that devices compress, unpacked within bounds."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest
from backports import zstd

from edgekit.errors import FormatError
from fleet_server.api.encodings import ACCEPTED, MAX_UNPACKED_BYTES, unpack
from fleet_server.services.errors import TooLargeError

DATA = b'{"windows": []}' * 50


def streamed(data: bytes) -> bytes:
    """Return a frame that does not say how long its content is."""
    packer = zstd.ZstdCompressor()
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        pytest.param(DATA, "", id="plain"),
        pytest.param(gzip.compress(DATA), "gzip", id="gzip"),
        pytest.param(zstd.compress(DATA), "zstd", id="zstd"),
        pytest.param(streamed(DATA), "zstd", id="zstd-streamed"),
    ],
)
def test_what_was_packed_comes_back(body: bytes, encoding: str) -> None:
    assert unpack(body, encoding) == DATA
    assert not encoding or encoding in ACCEPTED["Accept-Encoding"]


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        pytest.param(DATA, "br", id="unknown"),
        pytest.param(DATA, "zstd", id="no-zstd"),
        pytest.param(b"", "zstd", id="empty"),
        pytest.param(zstd.compress(DATA)[:-3], "zstd", id="zstd-cut"),
        pytest.param(gzip.compress(DATA)[:-3], "gzip", id="gzip-cut"),
        pytest.param(zstd.compress(DATA) + b"more", "zstd", id="zstd-goes-on"),
    ],
)
def test_what_is_not_as_it_says_is_refused(body: bytes, encoding: str) -> None:
    with pytest.raises(FormatError):
        unpack(body, encoding)


@pytest.mark.parametrize(
    ("pack", "encoding"),
    [(gzip.compress, "gzip"), (zstd.compress, "zstd"), (streamed, "zstd")],
    ids=["gzip", "zstd", "zstd-streamed"],
)
def test_a_bomb_is_refused_before_it_is_unpacked(
    pack: Callable[[bytes], bytes], encoding: str
) -> None:
    packed = pack(bytes(MAX_UNPACKED_BYTES + 1))
    assert len(packed) < MAX_UNPACKED_BYTES / 100
    with pytest.raises(TooLargeError):
        unpack(packed, encoding)
