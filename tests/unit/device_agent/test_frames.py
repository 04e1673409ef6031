"""Frames of a video: read by OpenCV from real files, refused when they show nothing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from device_agent.worker.frames import FROZEN_FRAMES, FrameGuard, Frames
from edgekit.errors import DataError

RNG = np.random.default_rng(4)
PICTURES = [RNG.integers(60, 250, (32, 48, 3), np.uint8) for _ in range(3)]


def video(path: Path, frames: list[np.ndarray]) -> str:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (48, 32))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return str(path)


@pytest.mark.parametrize(("channels", "shape"), [(3, (32, 48, 3)), (1, (32, 48))])
def test_a_file_is_read_and_begun_again(
    tmp_path: Path, channels: int, shape: tuple[int, ...]
) -> None:
    frames = Frames(video(tmp_path / "a.avi", PICTURES), channels=channels, clock=lambda: 0.0)
    seen = [frames.next() for _ in range(7)]
    frames.close()
    assert {frame.shape for frame in seen} == {shape}
    assert np.array_equal(seen[0], seen[3])
    assert not np.array_equal(seen[0], seen[1])


def test_a_source_that_is_lost_is_tried_again_after_longer_and_longer_waits(
    tmp_path: Path,
) -> None:
    now = [0.0]
    frames = Frames(str(tmp_path / "later.avi"), channels=3, clock=lambda: now[0])
    with pytest.raises(DataError, match="again in 1 s"):
        frames.next()
    with pytest.raises(DataError, match="soon"):
        frames.next()
    now[0] = 1.0
    with pytest.raises(DataError, match="again in 2 s"):
        frames.next()
    video(tmp_path / "later.avi", PICTURES)
    now[0] = 3.0
    assert frames.next().shape == (32, 48, 3)
    frames.close()


def test_a_black_frame_is_refused() -> None:
    guard = FrameGuard()
    assert guard.fault(np.zeros((32, 48), np.uint8)) == "the frame is black"
    assert guard.fault(np.full((32, 48), 200, np.uint8)) == ""


def test_a_picture_that_stands_still_is_refused_until_it_moves() -> None:
    guard = FrameGuard()
    faults = [guard.fault(PICTURES[0]) for _ in range(FROZEN_FRAMES + 2)]
    assert faults == [""] * FROZEN_FRAMES + ["the picture is frozen"] * 2
    assert guard.fault(PICTURES[1]) == ""
