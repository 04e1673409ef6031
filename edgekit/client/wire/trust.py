"""Wire types of trust: signed metadata that people bring, and what the server serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineKeys:
    """GET /trust/online-keys: public keys that root metadata has to name for the server's roles.

    Attributes:
        keys: Role ("snapshot", "timestamp") to key in TUF's JSON form, with its `keyid`.
    """

    keys: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustMetadata:
    """PUT /trust/root and PUT /trust/targets: signed metadata as JSON text."""

    metadata: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustView:
    """GET /trust: what the server serves.

    Attributes:
        root_sha256: Digest of the newest root metadata; empty before the first.
        days_left: Role to days until its metadata expires.
        versions: Role to version of its metadata.
    """

    root_sha256: str
    days_left: dict[str, float]
    versions: dict[str, int]
