"""Rules of request headers."""

from __future__ import annotations

import pytest

from device_agent.worker.connection import MAX_FIELDS, read_fields


@pytest.mark.parametrize(
    ("lines", "fields"),
    [
        pytest.param([], {}, id="none"),
        pytest.param([b"A: b", b"C-d:e "], {"a": "b", "c-d": "e"}, id="two"),
        pytest.param([b"A: b:c"], {"a": "b:c"}, id="colon in the value"),
        pytest.param([b"A b"], None, id="no colon"),
        pytest.param([b": b"], None, id="no name"),
        pytest.param([b"A: b", b" folded"], None, id="folded"),
        pytest.param([b"A : b"], None, id="blank before the colon"),
        pytest.param([b"A: b\nC: d"], None, id="another end of line"),
        pytest.param([b"Content-Length: 1"] * 2, None, id="two lengths"),
        pytest.param([b"A: b"] * (MAX_FIELDS + 1), None, id="too many"),
    ],
)
def test_headers_are_read_or_refused(lines: list[bytes], fields: dict[str, str] | None) -> None:
    assert read_fields(lines) == fields
