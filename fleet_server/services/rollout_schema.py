"""The rollout file as a JSON schema, made from the types that read it, in their words."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any

import msgspec

from fleet_server.domain.policy import GatePolicy, RolloutPolicy, Shadow, Stage
from fleet_server.domain.timing import MaintenanceWindow, RateLimit

_TYPES = (RolloutPolicy, Stage, Shadow, GatePolicy, MaintenanceWindow, RateLimit)
_ATTRIBUTE = re.compile(r"^(\w+): (.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutFile(RolloutPolicy):
    """A release going to devices in stages.

    Attributes:
        model: Name of the model.
        version: The release; in YAML put it into quotes.
    """

    model: str
    version: str


def rollout_schema() -> dict[str, Any]:
    """Return the schema of a rollout file (JSON Schema 2020-12); unknown keys are refused."""
    schema: dict[str, Any] = msgspec.json.schema(RolloutFile)
    definitions = schema["$defs"]
    for kind in (*_TYPES, RolloutFile):
        definition = definitions.get(kind.__name__)
        if definition is None:
            continue
        definition["additionalProperties"] = False
        definition["description"] = (kind.__doc__ or "").splitlines()[0]
        for name, words in _words(kind).items():
            if name in definition["properties"]:
                definition["properties"][name].setdefault("description", words)
    described = definitions["RolloutFile"]["properties"]
    for name, words in _words(RolloutPolicy).items():
        described[name].setdefault("description", words)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _words(kind: type) -> dict[str, str]:
    """Return what a docstring says about each attribute."""
    found: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(kind.__doc__ or "").partition("Attributes:")[2].splitlines():
        text = line.strip()
        match = _ATTRIBUTE.match(text) if line.startswith("    ") and line[4:5] != " " else None
        if match:
            name = match.group(1)
            found[name] = match.group(2)
        elif name and text:
            found[name] += f" {text}"
    return found
