"""Parameters of a model on this device: as the server set them, and as the bundle lets them hold.

The agent writes what came; each worker checks it against the schema of its own bundle, so that
after a swap, or a way back, the rules of the bundle that answers decide. Pure but for the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgekit import codec
from edgekit.durable import write_durably
from edgekit.errors import EdgeKitError, FormatError, UsageError
from edgekit.manifest import Manifest, Postprocessing
from edgekit.parameters import check_parameters, with_defaults

FILE = "parameters.json"
FORMAT_VERSION = "1.0"
FORMAT_MAJOR = 1
THRESHOLDS = ("score_threshold", "iou_threshold")
"""Parameters that replace the field of the same name in the manifest's postprocessing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """models/<model>/parameters.json: what the server set last.

    Attributes:
        version: The server's number of it; 0 when nothing was ever set.
        values: By name; empty for the defaults of the schema.
        format_version: Of the file.
    """

    version: int = 0
    values: dict[str, Any] = field(default_factory=dict)
    format_version: str = FORMAT_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds in one worker.

    Attributes:
        version: The version that was tried; 0 when nothing was ever set.
        values: What holds, defaults filled in.
        refused: Why the defaults hold instead of what was set; empty when it was taken.
    """

    version: int = 0
    values: dict[str, Any] = field(default_factory=dict)
    refused: str = ""


def read_stored(path: Path) -> Stored:
    """Return what was set last.

    Raises:
        FormatError: The file is damaged or of an unknown major version.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Stored()
    except OSError as error:
        raise FormatError(f"cannot be read ({error.strerror})", where=str(path)) from error
    stored = codec.decode(data, Stored, where=str(path))
    codec.check_major(stored.format_version, FORMAT_MAJOR, where=str(path))
    return stored


def write_stored(path: Path, stored: Stored) -> None:
    """Keep what was set; durable on return.

    Raises:
        StorageError: No room or no permission.
    """
    write_durably(path, codec.encode(stored))


def settle(manifest: Manifest, stored: Stored) -> Settings:
    """Return what holds for a bundle: what was set where its schema takes it, else the defaults."""
    defaults = with_defaults(manifest.parameters_schema or {}, {})
    try:
        if stored.values:
            _check(manifest, stored)
        values = {**defaults, **stored.values}
        postprocessing_with(manifest.postprocessing, values)
    except EdgeKitError as error:
        return Settings(version=stored.version, values=defaults, refused=str(error))
    return Settings(version=stored.version, values=values)


def settled(manifest: Manifest, path: Path) -> Settings:
    """Return what holds for a bundle by a file; the defaults when it is damaged."""
    try:
        return settle(manifest, read_stored(path))
    except FormatError as error:
        return replace(settle(manifest, Stored()), refused=str(error))


def postprocessing_with(
    spec: Postprocessing | None, values: Mapping[str, Any]
) -> Postprocessing | None:
    """Return the postprocessing with the thresholds that were set.

    Raises:
        UsageError: A threshold is no number in [0, 1].
    """
    if spec is None:
        return None
    changed = {name: values[name] for name in THRESHOLDS if name in values}
    for name, value in changed.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value <= 1:
            raise UsageError(f"{name} is {value}, allowed is 0 to 1", where="parameters")
    return replace(
        spec,
        score_threshold=float(changed.get("score_threshold", spec.score_threshold)),
        iou_threshold=float(changed.get("iou_threshold", spec.iou_threshold)),
    )


def _check(manifest: Manifest, stored: Stored) -> None:
    where = f"{manifest.model} {manifest.version}"
    if manifest.parameters_schema is None:
        raise UsageError("takes no parameters", where=where)
    check_parameters(manifest.parameters_schema, stored.values, where=where)
