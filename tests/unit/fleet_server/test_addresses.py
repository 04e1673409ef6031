"""Where the server is seen from: by the host that was asked, or by a proxy that is there."""

from __future__ import annotations

import pytest

from fleet_server.api.context import base_url

FORWARDED = [(b"host", b"inner:8080"), (b"x-forwarded-host", b"fleet.example")]


@pytest.mark.parametrize(
    ("headers", "behind_proxy", "address"),
    [
        ([(b"host", b"fleet:8080")], False, "http://fleet:8080"),
        ([], False, "http://localhost"),
        (FORWARDED, False, "http://inner:8080"),
        (FORWARDED, True, "http://fleet.example"),
        ([*FORWARDED, (b"x-forwarded-proto", b"https")], True, "https://fleet.example"),
        ([*FORWARDED, (b"x-forwarded-proto", b"https")], False, "http://inner:8080"),
        ([(b"host", b"inner:8080")], True, "http://inner:8080"),
    ],
)
def test_a_proxy_is_believed_only_where_there_is_one(
    headers: list[tuple[bytes, bytes]], behind_proxy: bool, address: str
) -> None:
    assert base_url(headers, "http", behind_proxy=behind_proxy) == address
