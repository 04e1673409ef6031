"""Where the server is seen from, and who the caller is: by a proxy that is there, or not at all."""

from __future__ import annotations

import pytest

from fleet_server.api.proxy import ProxyRule, strip_root

FORWARDED = [(b"host", b"inner:8080"), (b"x-forwarded-host", b"fleet.example")]
PROXY = "192.0.2.7"
NETWORK = ("192.0.2.0/24",)
IDENTIFIED = [(b"x-controller-id", b"cam"), (b"x-authority", b"other; Devices CA")]


@pytest.mark.parametrize(
    ("headers", "peer", "address"),
    [
        ([(b"host", b"fleet:8080")], "198.51.100.1", "http://fleet:8080"),
        ([], "198.51.100.1", "http://localhost"),
        (FORWARDED, "198.51.100.1", "http://inner:8080"),
        (FORWARDED, "no address", "http://inner:8080"),
        (FORWARDED, PROXY, "http://fleet.example"),
        ([*FORWARDED, (b"x-forwarded-proto", b"https")], PROXY, "https://fleet.example"),
        ([*FORWARDED, (b"x-forwarded-proto", b"https")], "198.51.100.1", "http://inner:8080"),
        ([(b"host", b"inner:8080")], PROXY, "http://inner:8080"),
        ([*FORWARDED, (b"x-forwarded-port", b"8443")], PROXY, "http://fleet.example:8443"),
        ([*FORWARDED, (b"x-forwarded-port", b"443")], PROXY, "http://fleet.example"),
        ([*FORWARDED, (b"x-forwarded-prefix", b"/ota/")], PROXY, "http://fleet.example/ota"),
        ([(b"x-forwarded-host", b"a.example, b.example")], PROXY, "http://a.example"),
    ],
)
def test_a_proxy_is_believed_only_where_there_is_one(
    headers: list[tuple[bytes, bytes]], peer: str, address: str
) -> None:
    assert ProxyRule(networks=NETWORK).base_url(headers, "http", peer) == address


def test_a_server_below_a_path_says_so_in_its_links() -> None:
    rule = ProxyRule(root_path="/fleet")
    assert rule.base_url([(b"host", b"h")], "http", "") == "http://h/fleet"
    assert strip_root("/fleet/DEFAULT/x", "/fleet") == "/DEFAULT/x"
    assert strip_root("/DEFAULT/x", "/fleet") == "/DEFAULT/x"
    assert strip_root("/fleetings", "/fleet") == "/fleetings"


@pytest.mark.parametrize(
    ("headers", "peer", "authority", "believed"),
    [
        (IDENTIFIED, PROXY, "devices ca", True),
        ([IDENTIFIED[0], (b"x-authority-1", b"Devices CA")], PROXY, "devices ca", True),
        (IDENTIFIED, "198.51.100.1", "devices ca", False),
        (IDENTIFIED, PROXY, "", False),
        (IDENTIFIED, PROXY, "another", False),
        (IDENTIFIED[1:], PROXY, "devices ca", False),
        ([(b"x-controller-id", b"dog"), IDENTIFIED[1]], PROXY, "devices ca", False),
    ],
)
def test_a_device_is_known_by_certificate_only_through_the_trusted_proxy(
    headers: list[tuple[bytes, bytes]], peer: str, authority: str, believed: bool
) -> None:
    rule = ProxyRule(networks=NETWORK, authority=authority)
    assert rule.vouches(headers, peer, "cam") is believed


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("10.0.0.1", b"203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", b"6.6.6.6, 203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", b"203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("203.0.113.9", b"6.6.6.6", "203.0.113.9"),
    ],
)
def test_a_caller_is_the_last_one_that_no_trusted_proxy_is(
    peer: str, forwarded: bytes, caller: str
) -> None:
    rule = ProxyRule(networks=("10.0.0.0/8",))
    assert rule.caller([(b"x-forwarded-for", forwarded)], peer) == caller
