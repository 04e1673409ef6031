"""Rollout files and flags: YAML or words on the command line become a NewRollout.

What the stages and the gate mean is the server's business; it refuses what it does not know.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from edgekit.cli.options import pairs, seconds
from edgekit.client.wire.rollouts import NewRollout
from edgekit.errors import FormatError, StorageError, UsageError

MAX_BYTES = 1 << 20
_STAGE = re.compile(r"(?:(\d+)/variant|(\d+)|(\d+(?:\.\d+)?)%)(?::(\w+))?")


def read_rollout(file: Path) -> NewRollout:
    """Read a rollout file.

    Raises:
        StorageError: It cannot be read.
        FormatError: It is no YAML mapping, or model or version is no text.
    """
    where = str(file)
    try:
        data = file.read_bytes()[: MAX_BYTES + 1]
        if len(data) > MAX_BYTES:
            raise FormatError("is too large for a rollout file", where=where)
        content = yaml.safe_load(data)
    except OSError as error:
        raise StorageError(f"cannot read ({error.strerror})", where=where) from error
    except yaml.YAMLError as error:
        raise FormatError(f"is not YAML: {_first_line(error)}", where=where) from error
    if not isinstance(content, dict):
        raise FormatError("is no mapping", where=where, todo="start with: model: NAME")
    return rollout_of(content, where=where)


def rollout_of(content: dict[str, Any], *, where: str) -> NewRollout:
    """Return the rollout that a mapping describes.

    Raises:
        FormatError: model or version is missing or no text: YAML reads 1.10 as the number 1.1.
    """
    for key in ("model", "version"):
        if key not in content:
            raise FormatError(f"lacks {key!r}", where=where)
        if not isinstance(content[key], str):
            raise FormatError(
                f"{key!r} is no text", where=where, todo=f'put it into quotes: "{content[key]}"'
            )
    policy = {key: value for key, value in content.items() if key not in {"model", "version"}}
    return NewRollout(model=content["model"], version=content["version"], policy=policy)


def parse_stage(word: str) -> dict[str, Any]:
    """Read a stage: "1/variant", "5" (devices) or "50%", with an optional bake time ":30m".

    Raises:
        UsageError: It is none.
    """
    match = _STAGE.fullmatch(word.strip())
    if match is None:
        raise UsageError(f"{word!r} is no stage", todo="write 1/variant, 5 or 50%, then :30m")
    per_variant, devices, percent, bake = match.groups()
    stage: dict[str, Any] = {}
    if per_variant:
        stage["devices_per_variant"] = int(per_variant)
    elif devices:
        stage["devices"] = int(devices)
    else:
        stage["percent"] = float(percent)
    if bake:
        stage["bake_s"] = seconds(bake)
    return stage


def rollout_from_flags(
    *, model: str, version: str, stages: list[str], selector: list[str], gate: list[str]
) -> NewRollout:
    """Return the rollout that flags describe.

    Args:
        model: Name of the model.
        version: Release to roll out.
        stages: As `parse_stage` reads them; none means all devices at once.
        selector: "key=value" labels that a device must have.
        gate: "key=value" fields of the gate.

    Raises:
        UsageError: A word cannot be read, or model or version is missing.
    """
    if not model or not version:
        raise UsageError(
            "no release is named", todo="give a rollout file, or --model and --version"
        )
    policy: dict[str, Any] = {"stages": [parse_stage(word) for word in stages or ["100%"]]}
    if selector:
        policy["selector"] = pairs(selector)
    if gate:
        policy["gate"] = {key: yaml.safe_load(text) for key, text in pairs(gate).items()}
    return NewRollout(model=model, version=version, policy=policy)


def _first_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or error).splitlines()[0]
    return f"{problem} in line {mark.line + 1}" if mark is not None else problem
