"""Encoded images (JPEG, PNG, BMP) to raw samples. OpenCV is imported when the first one comes."""

from __future__ import annotations

import numpy as np

from edgekit.errors import DataError, MissingExtraError
from edgekit.runtime.base import Tensor

MAX_PIXELS = 64 << 20


def decode_image(data: bytes, *, channels: int) -> Tensor:
    """Return an image [H, W, C] (RGB) or [H, W] (one channel), uint8.

    Raises:
        DataError: It is no image, or has more than 64 Mi pixels.
        MissingExtraError: OpenCV is not installed.
    """
    try:
        import cv2
    except ModuleNotFoundError as error:
        if error.name != "cv2":
            raise
        raise MissingExtraError("opencv-python-headless", "agent-vision") from error
    how = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR_RGB
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), how) if data else None
    except cv2.error as error:
        raise DataError("cannot be decoded", where="image") from error
    if image is None or image.shape[0] * image.shape[1] > MAX_PIXELS:
        raise DataError("is no image of a size that is taken", where="image")
    return np.asarray(image)
