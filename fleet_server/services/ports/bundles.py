"""What the use cases need of storage about bundles: who uses which, and what was taken away."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from edgekit.manifest import Lineage
from fleet_server.domain.garbage import Use


class Bundles(Protocol):
    """Bundles by digest, as releases and devices name them."""

    def use(self) -> Use:
        """Return who needs which bundles."""
        ...

    def named(self, digests: Iterable[str]) -> Use:
        """Return of these bundles who names them that may have begun to: the quick part of `use`.

        What a device runs or committed is not in it: it got there through a deployment.
        """
        ...

    def collected(self, digest: str, lineage: Lineage | None, *, now: datetime) -> None:
        """Remember what a bundle was made of that is about to go."""
        ...

    def lineage(self, digest: str) -> Lineage | None:
        """Return what a bundle was made of that is gone; None when nothing is known."""
        ...
