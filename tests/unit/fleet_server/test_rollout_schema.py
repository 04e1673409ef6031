"""The published schema of a rollout file is the one that the types give."""

from __future__ import annotations

import json
from pathlib import Path

from fleet_server.services.rollout_schema import rollout_schema

PUBLISHED = Path(__file__).parents[3] / "docs" / "rollout.schema.json"


def test_the_published_schema_is_true() -> None:
    """Make it anew with the `schema` command of `edgekit rollout`."""
    assert PUBLISHED.read_text() == json.dumps(rollout_schema(), indent=2) + "\n"


def test_every_key_is_described_and_unknown_ones_are_refused() -> None:
    for name, definition in rollout_schema()["$defs"].items():
        if "properties" not in definition:
            continue
        assert definition["additionalProperties"] is False, name
        for key, said in definition["properties"].items():
            assert said.get("description"), f"{name}.{key}"
