"""Recorded answers that have a label, counted."""

from __future__ import annotations

from dataclasses import dataclass


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
