"""The journal: what is written is read, anything else is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from device_agent.journal import Deployment, Ending, Journal, Record
from device_agent.states import State
from edgekit.errors import FormatError
from edgekit.protocol import DeploymentKind, Outcome, Reason

RECORD = Record(
    state=State.PROBATION,
    boot_id="b",
    visits=3,
    deployment=Deployment(
        action="7",
        kind=DeploymentKind.UPDATE,
        model="digits",
        version="1.0.0",
        variant="onnx-fp32",
        target="models/digits/1.0.0/onnx-fp32.bundle",
        digest="a" * 64,
        size=10,
        url="http://server/a",
        answer_url="http://server/f",
    ),
    ending=Ending(action="7", version="1.0.0", outcome=Outcome.REVERTED, reason=Reason.NAN),
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.json")
    journal.write(RECORD)
    assert journal.read() == RECORD
    assert [p.name for p in tmp_path.iterdir()] == ["journal.json"]


def test_no_journal_is_at_rest(tmp_path: Path) -> None:
    assert Journal(tmp_path / "journal.json").read() == Record()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\0\0\0", id="zeros"),
        pytest.param(b'{"state":"dancing"}', id="unknown-state"),
        pytest.param(b'{"format_version":"2.0"}', id="newer-major"),
        pytest.param(b" " * (1 << 20) + b"{}", id="too-large"),
    ],
)
def test_a_damaged_journal_is_an_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "journal.json"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"journal\.json"):
        Journal(path).read()


def test_fields_of_a_newer_minor_version_are_ignored(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.json")
    journal.write(RECORD)
    newer = {**json.loads(journal.path.read_bytes()), "mood": "fine", "format_version": "1.7"}
    journal.path.write_text(json.dumps(newer))
    assert journal.read().deployment == RECORD.deployment


def test_a_state_that_needs_a_deployment_says_so() -> None:
    with pytest.raises(FormatError, match="without a deployment"):
        Record(state=State.STAGING).current()
