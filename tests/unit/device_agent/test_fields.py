"""Rules of request headers."""

from __future__ import annotations

import io

import pytest

from device_agent.worker.server import MAX_FIELDS, read_fields


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        pytest.param(b"\r\n", {}, id="none"),
        pytest.param(b"A: b\r\nC-d:e \n\r\n", {"a": "b", "c-d": "e"}, id="two"),
        pytest.param(b"A: b:c\r\n\r\n", {"a": "b:c"}, id="colon in the value"),
        pytest.param(b"A: b\r\n", None, id="cut off"),
        pytest.param(b"A b\r\n\r\n", None, id="no colon"),
        pytest.param(b"A: b\r\n folded\r\n\r\n", None, id="folded"),
        pytest.param(b"A : b\r\n\r\n", None, id="blank before the colon"),
        pytest.param(b"Content-Length: 1\r\n" * 2 + b"\r\n", None, id="two lengths"),
        pytest.param(b"A: b\r\n" * (MAX_FIELDS + 1) + b"\r\n", None, id="too many"),
        pytest.param(b"A: " + b"b" * (1 << 17) + b"\r\n\r\n", None, id="too long"),
    ],
)
def test_headers_are_read_or_refused(text: bytes, fields: dict[str, str] | None) -> None:
    assert read_fields(io.BytesIO(text)) == fields
