"""Whom an open stage reaches and who is compared with them, worked out from a sample.

The more was read for a roster the longer it is kept: it takes at most a few percent of a core.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fleet_server.domain.assignment import Candidate, populations, share_of
from fleet_server.domain.evidence import Population, Stratum
from fleet_server.domain.reach import includes, reach
from fleet_server.domain.rollout import Rollout

MAX_CONTROLS = 200
"""Controls of one stratum that are read; more say hardly more, and a gate must stay cheap."""

DEVICES_PER_S = 2000
"""A roster of so many devices is kept for a second: at most a few percent of one core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Whom an open stage could reach, as of a moment.

    Attributes:
        made_at: UTC.
        devices: How many devices were read.
        populations: Reachable devices of each stratum, and those that take part.
        controls: Ids of devices that do not take part, at most MAX_CONTROLS of each stratum.
            Which ones is drawn by share, so that it does not change from tick to tick.
        strata: Stratum of each control.
    """

    made_at: datetime
    devices: int
    populations: tuple[Population, ...]
    strata: dict[str, Stratum]

    def is_fresh(self, now: datetime) -> bool:
        """Say whether it is young for its size."""
        return now - self.made_at <= timedelta(seconds=self.devices / DEVICES_PER_S)


def make_roster(rollout: Rollout, candidates: Sequence[Candidate], *, now: datetime) -> Roster:
    """Count whom the open stage reaches, and draw its controls."""

    def takes(candidate: Candidate) -> bool:
        return includes(rollout, candidate.device_id, candidate.stratum, candidate.labels)

    def share(candidate: Candidate) -> float:
        if candidate.stands_for == 1:
            return takes(candidate)
        return reach(rollout, candidate.device_id, candidate.stratum, candidate.labels)

    rest: dict[Stratum, list[str]] = defaultdict(list)
    for candidate in candidates:
        if not takes(candidate):
            rest[candidate.stratum].append(candidate.device_id)
    return Roster(
        made_at=now,
        devices=len(candidates),
        populations=populations(candidates, now, takes=share),
        strata={
            device_id: stratum
            for stratum, ids in rest.items()
            for device_id in heapq.nsmallest(
                MAX_CONTROLS, ids, key=lambda d: (share_of(rollout.id, d), d)
            )
        },
    )
