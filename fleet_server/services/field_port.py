"""What field accuracy needs of storage: answers that devices recorded, and labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """Answers of one bundle that have a label.

    Attributes:
        devices: How many devices gave them.
        labelled: How many there are.
        right: How many agree with their label.
    """

    devices: int = 0
    labelled: int = 0
    right: int = 0


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
