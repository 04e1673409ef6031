"""What a device shall get: a value between those who decide and those who store."""

from __future__ import annotations

from dataclasses import dataclass

from fleet_server.domain.goal import Goal
from fleet_server.services.records.releases import VariantRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A bundle that a device shall get, and why.

    Attributes:
        model: Name of the model.
        version: The release.
        variant: The variant that fits.
        goal: Why.
        confirmation: Somebody has to confirm before it is downloaded.
    """

    model: str
    version: str
    variant: VariantRecord
    goal: Goal
    confirmation: bool = False
