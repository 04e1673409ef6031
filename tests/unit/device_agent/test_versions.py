"""Agents of neighbouring versions read one another's files: recorded ones of each, and newer ones.

A newer minor version may add fields, which an older agent ignores; a newer major one is refused.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from device_agent.enrolment import read_enrolment
from device_agent.identity import load_identity
from device_agent.journal import Journal
from device_agent.slots import Slots
from device_agent.states import State
from edgekit.errors import FormatError

RECORDED = sorted((Path(__file__).parents[2] / "fixtures").glob("agent-*"))


@pytest.mark.parametrize("folder", RECORDED, ids=lambda folder: folder.name)
def test_the_files_of_a_released_version_are_read(folder: Path) -> None:
    record = Journal(folder / "journal.json").read()
    assert record.state is State.PROBATION
    assert record.current().digest == "aa"
    assert record.current().deltas == {}
    assert Slots(folder).pointers().running == "aa"
    identity = load_identity(folder / "identity.json")
    assert identity.addresses == ("http://fleet",)
    assert read_enrolment(folder / "enrolment.json").token == "e"


@pytest.mark.parametrize("name", ["journal.json", "slots.json", "identity.json"])
def test_a_newer_minor_version_with_more_fields_is_read_and_a_newer_major_one_refused(
    name: str, tmp_path: Path
) -> None:
    content = json.loads((RECORDED[-1] / name).read_bytes())
    path = tmp_path / name

    def read() -> object:
        match name:
            case "journal.json":
                return Journal(path).read()
            case "slots.json":
                return Slots(tmp_path).pointers()
            case _:
                return load_identity(path)

    path.write_text(json.dumps({**content, "format_version": "1.7", "new_field": [1]}))
    assert read() is not None
    path.write_text(json.dumps({**content, "format_version": "2.0"}))
    with pytest.raises(FormatError):
        read()
