"""Frames of a camera, a video file or a stream, by OpenCV; reconnects, refuses dead pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgekit.errors import DataError, MissingExtraError
from edgekit.runtime.base import Tensor

BLACK_MEAN = 3.0
BLACK_SPREAD = 2.0
FROZEN_FRAMES = 25
RECONNECT_S = (1.0, 30.0)


class FrameGuard:
    """Finds frames that show nothing: black ones, and a picture that stands still to the bit."""

    def __init__(self) -> None:
        self._last = b""
        self._repeats = 0

    def fault(self, frame: Tensor) -> str:
        """Return what is wrong with a frame; empty when nothing is."""
        thin = np.ascontiguousarray(frame[::4, ::4])
        if float(thin.mean()) < BLACK_MEAN and float(thin.std()) < BLACK_SPREAD:
            return "the frame is black"
        data = thin.tobytes()
        self._repeats = self._repeats + 1 if data == self._last else 0
        self._last = data
        return "the picture is frozen" if self._repeats >= FROZEN_FRAMES else ""


class Frames:
    """One video source. `next` gives a frame, or says why there is none."""

    def __init__(self, address: str, *, channels: int, clock: Callable[[], float]) -> None:
        """Prepare; opened by the first `next`.

        Args:
            address: Path, rtsp:// or http:// address, or the number of a camera.
            channels: 1 for grey frames, 3 for RGB.
            clock: Monotonic, seconds.
        """
        self._address, self._channels, self._clock = address, channels, clock
        self._guard = FrameGuard()
        self._capture: Any = None
        self._failures = 0
        self._not_before_s = 0.0

    def next(self) -> Tensor:
        """Return the next frame, [H, W] or [H, W, 3] (RGB), uint8; a file begins again at its end.

        Raises:
            DataError: There is none now, or it shows nothing.
            MissingExtraError: OpenCV is not installed.
        """
        cv2 = _opencv()
        frame = self._read(cv2)
        how = cv2.COLOR_BGR2GRAY if self._channels == 1 else cv2.COLOR_BGR2RGB
        image: Tensor = np.asarray(cv2.cvtColor(frame, how))
        fault = self._guard.fault(image)
        if fault:
            raise DataError(fault, where=self._address)
        return image

    def close(self) -> None:
        """Give the camera back."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _read(self, cv2: Any) -> Any:  # noqa: ANN401 (OpenCV has no types of use)
        for _ in range(2):  # at the end of a file, or after a lost stream, once more from the start
            if self._capture is None:
                self._open(cv2)
            good, frame = self._capture.read()
            if good:
                self._failures = 0
                return frame
            self.close()
        raise self._lost("gives no frame")

    def _open(self, cv2: Any) -> None:  # noqa: ANN401
        if self._clock() < self._not_before_s:
            raise DataError("is tried again soon", where=self._address)
        number = int(self._address) if self._address.isdigit() else self._address
        self._capture = cv2.VideoCapture(number)
        if not self._capture.isOpened():
            raise self._lost("cannot be opened")

    def _lost(self, why: str) -> DataError:
        self.close()
        first, most = RECONNECT_S
        wait_s = min(most, first * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self._not_before_s = self._clock() + wait_s
        return DataError(f"{why}; tried again in {wait_s:.0f} s", where=self._address)


def _opencv() -> Any:  # noqa: ANN401
    try:
        import cv2
    except ModuleNotFoundError as error:
        if error.name != "cv2":
            raise
        raise MissingExtraError("opencv-python-headless", "agent-vision") from error
    return cv2
