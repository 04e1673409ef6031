"""What is stored of switches of the whole fleet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagRecord:
    """One switch of the whole fleet, and who turned it."""

    name: str
    value: str
    by: str
    at: datetime
