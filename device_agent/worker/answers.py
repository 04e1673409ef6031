"""The answer of a model by its manifest: class, objects, pixel shares, embedding. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from edgekit.detection import class_shares, detect, unit_vector
from edgekit.manifest import Manifest, Task
from edgekit.postprocessing import Classification, classify
from edgekit.runtime.base import Tensor


def interpret(outputs: Sequence[Tensor], manifest: Manifest) -> tuple[Classification | None, Any]:
    """Return the class for telemetry (of a detector the surest object's), and the whole answer.

    The whole answer is JSON-like, or None when the class says it all.

    Raises:
        DataError: The outputs do not suit the task of the manifest.
    """
    spec = manifest.postprocessing
    match spec.task if spec is not None else Task.CLASSIFICATION:
        case Task.CLASSIFICATION:
            return classify(outputs[0], manifest.labels), None
        case Task.DETECTION:
            assert spec is not None  # noqa: S101 (it named the task)
            objects = detect(outputs, manifest.labels, spec)
            top = Classification(objects[0].label, objects[0].confidence) if objects else None
            return top, [asdict(one) for one in objects]
        case Task.SEGMENTATION:
            return None, class_shares(outputs[0], manifest.labels)
        case Task.EMBEDDING:
            return None, unit_vector(outputs[0]).tolist()
