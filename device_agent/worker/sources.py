"""Samples that nobody sends, at a steady rate: a folder replayed for ever, or a video."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from device_agent.config import Source
from device_agent.worker.frames import Frames
from edgekit.errors import DataError, EdgeKitError, MissingExtraError
from edgekit.runtime.base import Tensor

logger = logging.getLogger(__name__)
IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp"})


def sample_files(folder: Path) -> list[Path]:
    """Return the arrays and images of a folder, by name.

    Raises:
        DataError: There are none.
    """
    files = sorted(p for p in folder.glob("*") if p.suffix.lower() in IMAGES | {".npy"})
    if not files:
        raise DataError("holds no .npy file and no image", where=str(folder))
    return files


def read_sample(path: Path) -> Tensor:
    """Return one raw sample: the array of a .npy file, or an image [H, W, C] (RGB), uint8.

    Raises:
        DataError: The file cannot be read as either.
        MissingExtraError: An image, and OpenCV is not installed.
    """
    if path.suffix.lower() == ".npy":
        try:
            array: Tensor = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError("is no array", where=str(path)) from error
        return array
    return _read_image(path)


def _read_image(path: Path) -> Tensor:
    try:
        import cv2
    except ModuleNotFoundError as error:
        if error.name != "cv2":
            raise
        raise MissingExtraError("opencv-python-headless", "agent-vision") from error
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise DataError("is no image", where=str(path))
    return np.asarray(image)


class Replay:
    """A thread that hands every sample of a source to `take`, again and again."""

    def __init__(
        self,
        source: Source,
        take: Callable[[Tensor], object],
        *,
        channels: int = 3,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            source: Where samples come from.
            take: Gets every sample.
            channels: Of the frames of a video: 1 for grey, 3 for RGB.
            failed: Called for every sample that could not be had.
        """
        self._source = source
        self._take = take
        self._failed = failed
        self._frames = Frames(source.video, channels=channels, clock=time.monotonic)
        self._turn, self._sorted = 0, list[Path]()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replay", daemon=True)

    def start(self) -> None:
        """Begin; the folder is read by the thread."""
        self._thread.start()

    def stop(self, *, wait_s: float = 5.0) -> None:
        """End after the sample that is under way."""
        self._stop.set()
        self._thread.join(wait_s)

    def _run(self) -> None:
        period_s, due_s = 1.0 / self._source.rate_hz, time.monotonic()
        following = self._frame if self._source.video else self._file
        while not self._stop.wait(max(0.0, due_s - time.monotonic())):
            # A model slower than the rate sets the pace: no queue builds up.
            due_s = max(due_s + period_s, time.monotonic())
            try:
                sample = following()
            except EdgeKitError as error:
                self._failed()
                logger.warning("sample failed", extra={"fields": {"error": str(error)}})
                continue
            try:
                self._take(sample)
            except EdgeKitError as error:
                logger.warning("sample refused", extra={"fields": {"error": str(error)}})
        self._frames.close()

    def _frame(self) -> Tensor:
        return self._frames.next()

    def _file(self) -> Tensor:
        if self._turn >= len(self._sorted):
            self._turn, self._sorted = 0, sample_files(Path(self._source.folder))
        self._turn += 1
        return read_sample(self._sorted[self._turn - 1])
