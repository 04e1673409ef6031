"""What the use cases need of storage for the server's own keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class SealedKeys(Protocol):
    """The server's two keys, encrypted by a secret that no table holds."""

    def all(self) -> Mapping[str, bytes]:
        """Return the sealed keys by role; empty before the first."""
        ...

    def put(self, pems: Mapping[str, bytes]) -> None:
        """Add or replace keys."""
        ...
