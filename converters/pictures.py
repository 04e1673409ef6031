"""Finds held-out samples whose answer flipped, and draws them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.extras import need
from converters.metrics import Answers, top1
from converters.page import Flip
from converters.proof import Reference
from edgekit.runtime import Tensor

MAX_FLIPS = 12
_SIDE = 192


def flips_of(reference: Reference, answers: Answers, labels: Sequence[str]) -> list[Flip]:
    """Return the first 12 samples to which source and variant give other classes."""
    if not reference.metric.classes:
        return []
    had, has = top1(reference.answers[0]), top1(answers[0])
    samples = reference.samples

    def named(index: int) -> str:
        return labels[index] if index < len(labels) else str(index)

    return [
        Flip(
            index=int(i),
            source=named(int(had[i])),
            variant=named(int(has[i])),
            truth="" if samples.labels is None else named(int(samples.labels[i])),
            png=_png(samples.images[int(i)]),
        )
        for i in np.flatnonzero(had != has)[:MAX_FLIPS]
    ]


def _png(sample: Tensor) -> bytes:
    """Return a picture of an image [H, W] or [H, W, 1 or 3]; empty for anything else."""
    image = sample[..., np.newaxis] if sample.ndim == 2 else sample
    if image.ndim != 3 or image.shape[2] not in {1, 3} or min(image.shape[:2]) < 2:
        return b""
    cv2 = need("cv2")
    low, high = float(image.min()), float(image.max())
    grey = ((image.astype(np.float32) - low) * (255 / max(high - low, 1e-9))).astype(np.uint8)
    shrink = max(1, -(-max(grey.shape[:2]) // _SIDE))
    small = np.ascontiguousarray(grey[::shrink, ::shrink, ::-1])
    return bytes(cv2.imencode(".png", small)[1])
