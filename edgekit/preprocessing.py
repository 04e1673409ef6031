"""Executes a manifest's preprocessing; the same code at calibration, evaluation and on the device.

A raw sample is an image of shape [H, W] or [H, W, C], uint8 or float, or a waveform, see
`edgekit.audio`. OpenCV is imported only when an image has another size than the model's input.
"""

from __future__ import annotations

import numpy as np

from edgekit.audio import audio_features, fitted
from edgekit.errors import DataError, MissingExtraError
from edgekit.manifest import Layout, Preprocessing, Resize
from edgekit.runtime.base import FloatArray, Tensor


def prepare(sample: Tensor, spec: Preprocessing | None) -> FloatArray:
    """Turn one raw sample into a batch of one for the model's first input.

    Args:
        sample: Image [H, W] or [H, W, C], or waveform [N] where the spec has audio; with no spec,
            a tensor without the batch dimension.
        spec: The manifest's preprocessing; None hands the sample on as it is.

    Returns:
        [1, C, H, W] or [1, H, W, C] by the spec's layout, float32.

    Raises:
        DataError: The sample has the wrong number of channels or of axes, or another size than
            the model's input while `resize` is "none"; a waveform as `edgekit.audio.fitted`.
        MissingExtraError: Another size, and OpenCV is not installed.
    """
    if spec is None:
        return np.ascontiguousarray(sample[np.newaxis])
    if spec.audio is None:
        image = sized(sample, spec)
    else:
        image = audio_features(sample, spec.audio, spec.height)[..., np.newaxis]
    scaled = image.astype(np.float32) * np.float32(spec.scale)
    mean, std = np.asarray(spec.mean, np.float32), np.asarray(spec.std, np.float32)
    normal = (scaled - mean) / std
    batch = normal[np.newaxis]
    if spec.layout is Layout.NCHW:
        batch = batch.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(batch, dtype=np.float32)


def sized(sample: Tensor, spec: Preprocessing) -> Tensor:
    """Return a raw sample in the size of the model's input: the first thing that `prepare` does.

    Preparing the result gives what preparing the sample gives.

    Args:
        sample: Image [H, W] or [H, W, C], or waveform [N].
        spec: The manifest's preprocessing.

    Returns:
        [height, width, channels], or [samples] of a waveform; of the sample's type.

    Raises:
        DataError: As `prepare`.
        MissingExtraError: As `prepare`.
    """
    if spec.audio is not None:
        return fitted(sample, spec.audio, spec.height)
    image = sample[..., np.newaxis] if sample.ndim == 2 else sample
    if image.ndim != 3 or image.shape[2] != spec.channels:
        raise DataError(
            f"a sample has shape {list(sample.shape)}, "
            f"the model takes images of {spec.channels} channel(s)",
            todo="give such images, or declare other channels in the preprocessing",
        )
    return image if image.shape[:2] == (spec.height, spec.width) else _resized(image, spec)


def _resized(image: Tensor, spec: Preprocessing) -> Tensor:
    if spec.resize is Resize.NONE:
        raise DataError(
            f"a sample is {image.shape[0]}x{image.shape[1]} pixels, "
            f"the model takes {spec.height}x{spec.width}",
            todo="resize the data, or set a resize in the preprocessing",
        )
    try:
        import cv2
    except ModuleNotFoundError as error:
        if error.name != "cv2":
            raise
        raise MissingExtraError("opencv-python-headless", "agent-vision") from error
    fitted = _framed(image, spec)
    shrinks = fitted.shape[0] > spec.height or fitted.shape[1] > spec.width
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    small = cv2.resize(fitted, (spec.width, spec.height), interpolation=how)
    return np.asarray(small).reshape(spec.height, spec.width, spec.channels)


def _framed(image: Tensor, spec: Preprocessing) -> Tensor:
    """Return the image with the aspect ratio of the model's input, cropped or padded with zeros."""
    rows, columns = image.shape[:2]
    aspect = spec.width / spec.height
    if spec.resize is Resize.CENTER_CROP:
        width, height = min(columns, round(rows * aspect)), min(rows, round(columns / aspect))
        top, left = (rows - height) // 2, (columns - width) // 2
        return image[top : top + height, left : left + width]
    if spec.resize is Resize.LETTERBOX:
        width, height = max(columns, round(rows * aspect)), max(rows, round(columns / aspect))
        canvas = np.zeros((height, width, image.shape[2]), dtype=image.dtype)
        top, left = (height - rows) // 2, (width - columns) // 2
        canvas[top : top + rows, left : left + columns] = image
        return canvas
    return image
