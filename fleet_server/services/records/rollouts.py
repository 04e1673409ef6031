"""What is stored of rollouts and of what happened to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from fleet_server.domain.rollout import Rollout
from fleet_server.domain.selector import EVERYTHING, Selector


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRecord:
    """A rollout and which devices it is for.

    Attributes:
        rollout: The domain's value.
        selector: Which devices it is for.
        ended_at: UTC; None while it goes on.
    """

    rollout: Rollout
    selector: Selector = EVERYTHING
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HappeningRecord:
    """Something that happened to a rollout, ready to be read by people."""

    at: datetime
    kind: str
    stage: int
    text: str
    body: Mapping[str, object]
