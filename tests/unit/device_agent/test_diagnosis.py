"""What a diagnose bundle leaves out."""

from __future__ import annotations

from pathlib import Path

from device_agent.config import Layout
from device_agent.diagnosis import MAX_BYTES, MAX_FILE_BYTES, MAX_PARTS, bounded, redacted


def test_the_parts_are_bounded_one_by_one_and_together() -> None:
    kept = bounded({f"{i:03}": b"x" * (MAX_FILE_BYTES + 1) for i in range(20)})
    assert {len(data) for name, data in kept.items() if name.isdigit()} == {MAX_FILE_BYTES}
    fits = MAX_BYTES // MAX_FILE_BYTES
    assert kept["left-out.txt"].decode().split() == [f"{i:03}" for i in range(fits, 20)]


def test_the_number_of_parts_is_bounded() -> None:
    kept = bounded({f"{i:03}": b"" for i in range(MAX_PARTS + 5)})
    assert len(kept) == MAX_PARTS + 1


def test_what_stands_before_an_address_is_hidden(tmp_path: Path) -> None:
    said = redacted(b'"rtsp://ann:secret@camera/1" "https://fleet/a@b"', Layout(tmp_path))
    assert said == b'"rtsp://(hidden)@camera/1" "https://fleet/a@b"'
