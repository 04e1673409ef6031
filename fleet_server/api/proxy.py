"""What a request says about where it came from, and which of it is believed. Pure.

A proxy that ends TLS stands on a trusted address; only from there do forwarded headers count, and
only from there may a header name the device that the proxy has identified by its certificate.

Source: hawkBit DDI, "Authentication" (X-Controller-Id and X-Authority).
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from fleet_server.services.config import Settings

Headers = Iterable[tuple[bytes, bytes]]
_AUTHORITY = b"x-authority"
_MAX_ADDRESS = 45


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyRule:
    """Whom to believe.

    Attributes:
        networks: Addresses of proxies, "192.0.2.7" or "192.0.2.0/24"; empty believes nobody.
        authority: What such a proxy sends for devices that it has identified; empty turns that off.
        root_path: Where the server stands below its host, such as "/fleet"; empty at the top.
    """

    networks: tuple[str, ...] = ()
    authority: str = ""
    root_path: str = ""

    @classmethod
    def of(cls, settings: Settings) -> ProxyRule:
        """Return what an operator said."""
        return cls(
            networks=settings.trusted_proxies if settings.behind_proxy else (),
            authority=settings.proxy_authority,
            root_path=settings.root_path,
        )

    def trusts(self, peer: str) -> bool:
        """Say whether a request came from a proxy."""
        return bool(self.networks) and _is_within(peer, self.networks)

    def base_url(self, headers: Headers, scheme: str, peer: str) -> str:
        """Return the address by which the caller reaches this server, without a final slash."""
        found = dict(headers)
        host, prefix = found.get(b"host", b"localhost"), self.root_path
        if self.trusts(peer):
            host = _first(found.get(b"x-forwarded-host", host))
            scheme = _first(found.get(b"x-forwarded-proto", scheme.encode())).decode("latin-1")
            port = _first(found.get(b"x-forwarded-port", b""))
            if port.isdigit() and b":" not in host and port not in {b"80", b"443"}:
                host += b":" + port
            sent = found.get(b"x-forwarded-prefix")
            prefix = prefix if sent is None else _first(sent).decode("latin-1").rstrip("/")
        return f"{scheme}://{host.decode('latin-1')}{prefix}"

    def caller(self, headers: Headers, peer: str) -> str:
        """Return the address of the caller: the last one that no trusted proxy has itself."""
        named = [v for n, v in headers if n == b"x-forwarded-for"] if self.trusts(peer) else []
        hops = [hop.strip().decode("latin-1") for hop in b",".join(named).split(b",")]
        outside = [hop for hop in hops if hop and not self.trusts(hop)]
        return outside[-1][:_MAX_ADDRESS] if outside else peer

    def vouches(self, headers: Headers, peer: str, device_id: str) -> bool:
        """Say whether a proxy has identified the caller as this device."""
        if not self.authority or not self.trusts(peer):
            return False
        named, authorities = b"", []
        for name, value in headers:
            if name == b"x-controller-id":
                named = value
            elif name == _AUTHORITY or name.startswith(_AUTHORITY + b"-"):
                authorities += value.replace(b";", b",").lower().split(b",")
        wanted = self.authority.lower().encode()
        known = any(hmac.compare_digest(a.strip(), wanted) for a in authorities)
        return known and hmac.compare_digest(named, device_id.encode())


def strip_root(path: str, root_path: str) -> str:
    """Return a path as the routes know it, whether or not the proxy took the prefix off."""
    if root_path and path.startswith(f"{root_path}/"):
        return path[len(root_path) :]
    return path


@lru_cache(maxsize=1024)
def _is_within(peer: str, networks: tuple[str, ...]) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    return any(address in ipaddress.ip_network(network, strict=False) for network in networks)


def _first(value: bytes) -> bytes:
    """Return the first of a list: what the proxy nearest to the caller saw."""
    return value.split(b",", 1)[0].strip()
