"""What the use cases need of storage for releases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fleet_server.domain.goal import ReleaseState
from fleet_server.services.records.releases import ReleaseRecord


class Releases(Protocol):
    """Releases by model and version."""

    def get(self, model: str, version: str) -> ReleaseRecord | None:
        """Return a release."""
        ...

    def add(self, release: ReleaseRecord) -> None:
        """Add a release with its variants."""
        ...

    def set_state(self, model: str, version: str, state: ReleaseState) -> None:
        """Change the state of a release."""
        ...

    def lists(self, digest: str) -> bool:
        """Say whether a listed release has a bundle of that digest."""
        ...

    def all(self) -> Sequence[ReleaseRecord]:
        """Return every release, oldest first."""
        ...

    def page(self, *, after: tuple[str, str] | None, limit: int | None) -> Sequence[ReleaseRecord]:
        """Return releases behind a model's version, oldest first."""
        ...
