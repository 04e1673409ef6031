"""Zstandard frames: what goes in comes out, within bounds."""

from __future__ import annotations

import pytest

from edgekit.errors import FormatError
from edgekit.zstd import OversizeError, compress, decompress, is_installed

DATA = bytes(range(256)) * 40
LOG = 20


def test_a_frame_gives_back_what_it_holds() -> None:
    assert is_installed()
    frame = compress(DATA, level=19, window_log=LOG)
    assert decompress(frame, max_bytes=len(DATA), window_log=LOG) == DATA


def test_a_prefix_that_both_sides_have_is_not_sent_again() -> None:
    frame = compress(DATA + b"more", level=19, window_log=LOG, prefix=DATA)
    assert len(frame) < 40
    unpacked = decompress(frame, max_bytes=1 << 20, window_log=LOG, prefix=DATA)
    assert unpacked == DATA + b"more"


def test_a_prefix_too_short_for_the_library_is_none() -> None:
    frame = compress(DATA, level=3, prefix=b"short")
    assert decompress(frame, max_bytes=len(DATA), window_log=LOG, prefix=b"short") == DATA


def test_no_more_is_unpacked_than_allowed() -> None:
    with pytest.raises(OversizeError, match="more than 100 bytes"):
        decompress(compress(DATA, level=3), max_bytes=100, window_log=LOG)


def test_a_window_larger_than_allowed_is_refused() -> None:
    frame = compress(DATA * 500, level=3, window_log=22)
    with pytest.raises(FormatError, match="no zstd frame"):
        decompress(frame, max_bytes=1 << 30, window_log=12)


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (b"", "cut off"),
        (b"no frame at all", "no zstd frame"),
        (compress(DATA, level=3)[:-1], "cut off"),
        (compress(DATA, level=3) + b"x", "goes on"),
    ],
    ids=["empty", "no frame", "cut off", "goes on"],
)
def test_what_is_not_exactly_one_frame_is_refused(frame: bytes, why: str) -> None:
    with pytest.raises(FormatError, match=why):
        decompress(frame, max_bytes=1 << 20, window_log=LOG)
