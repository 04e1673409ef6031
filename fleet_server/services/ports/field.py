"""What accuracy in the field needs of storage: answers that devices recorded, and labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from fleet_server.services.records.field import Labelled


class FieldAnswers(Protocol):
    """Recorded answers and labels."""

    def add_labels(self, model: str, labels: Mapping[str, str], *, now: datetime) -> None:
        """Add labels, or replace them."""
        ...

    def matched(self, model: str, samples: Iterable[str]) -> int:
        """Count the samples that a device recorded an answer to."""
        ...

    def labelled(self, model: str, *, since: datetime | None = None) -> Mapping[str, Labelled]:
        """Compare answers (that came after a time) with labels, by digest of the bundle."""
        ...

    def forget_before(self, at: datetime) -> None:
        """Delete recorded answers that came before a time."""
        ...
