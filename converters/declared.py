"""What an engineer declares about a model in a file or in place: its two ends, its parameters.

Reads JSON and YAML; a key that is not known is an error, never skipped.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from edgekit import codec
from edgekit.audio import fault_of
from edgekit.errors import FormatError, UsageError
from edgekit.manifest import AudioFeatures, Postprocessing, Preprocessing
from edgekit.parameters import check_schema

T = TypeVar("T", Preprocessing, Postprocessing, AudioFeatures)


def read_preprocessing(text: str) -> Preprocessing:
    """Read a preprocessing from a JSON or YAML file, or from JSON written in place.

    Raises:
        UsageError: No such file, not JSON or YAML, an unknown key, or a value out of range.
    """
    decoded, where = _read(text, "--preprocessing")
    spec = _declared(decoded, Preprocessing, where)
    if spec.audio is not None:
        _declared(decoded["audio"], AudioFeatures, where)  # for keys that are not known
    if min(spec.height, spec.width) < 1 or spec.channels not in {1, 3}:
        raise UsageError("height and width are at least 1, channels are 1 or 3", where=where)
    if {len(spec.mean), len(spec.std)} - {1, spec.channels}:
        raise UsageError("mean and std have one value, or one a channel", where=where)
    if min(spec.std) <= 0 or spec.scale == 0:
        raise UsageError("std is above 0 and scale is not 0", where=where)
    if fault := fault_of(spec):
        raise UsageError(fault, where=where)
    return spec


def read_postprocessing(text: str) -> Postprocessing:
    """Read a postprocessing from a JSON or YAML file, or from JSON written in place.

    Raises:
        UsageError: No such file, not JSON or YAML, an unknown key, or a value out of range.
    """
    decoded, where = _read(text, "--postprocessing")
    spec = _declared(decoded, Postprocessing, where)
    if not (0 <= spec.score_threshold <= 1 and 0 <= spec.iou_threshold <= 1):
        raise UsageError("thresholds are 0 to 1", where=where)
    if spec.max_detections < 1:
        raise UsageError("max_detections is at least 1", where=where)
    return spec


def read_parameters(text: str) -> dict[str, Any]:
    """Read the JSON schema of a device's parameters from a JSON or YAML file, or in place.

    Raises:
        UsageError: No such file, not JSON or YAML, or more than `edgekit.parameters` checks.
    """
    decoded, where = _read(text, "--parameters")
    check_schema(decoded, where=where)
    schema: dict[str, Any] = decoded
    return schema


def read_labels(text: str) -> tuple[str, ...]:
    """Read class names: a file with one name a line, or names separated by commas.

    Raises:
        UsageError: A name is empty or there twice.
    """
    path = Path(text)
    try:
        in_file = "," not in text and path.is_file()
        lines = path.read_text(encoding="utf-8").splitlines() if in_file else text.split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("cannot read the labels", where=text) from error
    labels = tuple(line.strip() for line in lines if line.strip() or not in_file)
    if not all(labels) or len(set(labels)) != len(labels):
        raise UsageError("a label is empty or there twice", where=text)
    return labels


def _read(text: str, option: str) -> tuple[Any, str]:
    """Return what is written there, and where that is."""
    inline = text.lstrip().startswith("{")
    where = option if inline else text
    try:
        raw = text if inline else Path(text).read_text(encoding="utf-8")
        decoded = json.loads(raw) if inline or text.endswith(".json") else yaml.safe_load(raw)
    except OSError as error:
        raise UsageError(f"cannot read ({error.strerror})", where=where) from error
    except (ValueError, yaml.YAMLError) as error:
        line = str(error).splitlines()[0]
        raise UsageError(f"is neither JSON nor YAML ({line})", where=where) from error
    return decoded, where


def _declared(decoded: object, kind: type[T], where: str) -> T:
    known = {f.name for f in fields(kind)}
    if not isinstance(decoded, dict):
        raise UsageError(f"is no mapping with {', '.join(sorted(known))}", where=where)
    unknown = sorted(str(key) for key in set(decoded) - known)
    if unknown:
        raise UsageError(
            f"unknown key {', '.join(unknown)}", where=where, todo=f"use {', '.join(sorted(known))}"
        )
    try:
        return codec.convert(decoded, kind, where=where)
    except FormatError as error:
        raise UsageError(error.what, where=where) from error
