"""What holds on a device: what was set, where the bundle takes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from device_agent.parameters import Settings, Stored, settle, settled, write_stored
from edgekit.manifest import Postprocessing, Task
from tests.manifests import PLAIN

SCHEMA = {
    "type": "object",
    "properties": {
        "score_threshold": {"type": "number"},
        "mode": {"type": "string", "default": "day"},
    },
    "additionalProperties": False,
}
MANIFEST = replace(
    PLAIN, parameters_schema=SCHEMA, postprocessing=Postprocessing(task=Task.DETECTION)
)


def test_defaults_fill_in_what_was_not_set() -> None:
    assert settle(MANIFEST, Stored()) == Settings(values={"mode": "day"})
    set_ = settle(MANIFEST, Stored(version=2, values={"score_threshold": 0.5}))
    assert set_ == Settings(version=2, values={"mode": "day", "score_threshold": 0.5})


@pytest.mark.parametrize(
    ("values", "why"),
    [({"other": 1}, "no parameter other"), ({"score_threshold": 1.5}, "allowed is 0 to 1")],
)
def test_the_defaults_hold_where_a_bundle_refuses(values: dict[str, object], why: str) -> None:
    settings = settle(MANIFEST, Stored(version=3, values=values))
    assert (settings.version, settings.values) == (3, {"mode": "day"})
    assert why in settings.refused


def test_a_bundle_without_a_schema_takes_none() -> None:
    settings = settle(PLAIN, Stored(version=1, values={"a": 1}))
    assert "takes no parameters" in settings.refused
    assert settle(PLAIN, Stored(version=2)).refused == ""


def test_a_damaged_file_leaves_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "parameters.json"
    write_stored(file, Stored(version=1, values={"mode": "night"}))
    assert settled(MANIFEST, file).values == {"mode": "night"}
    file.write_bytes(b"{")
    damaged = settled(MANIFEST, file)
    assert damaged.values == {"mode": "day"}
    assert damaged.refused
