"""Who matches a rollout: the one part of a gate's evidence that is read from the whole fleet.

Reading it costs as much as the fleet is large, so it is kept for a while and its cost spread: the
larger the fleet, the longer. Everything else that a gate reads grows with its canaries.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fleet_server.domain.assignment import (
    POLLS_UNTIL_UNREACHABLE,
    Candidate,
    populations,
    share_of,
)
from fleet_server.domain.evidence import Population, Stratum
from fleet_server.domain.reach import includes
from fleet_server.domain.rollout import Rollout
from fleet_server.services.fleet_plan import FleetPlan, can_shadow, stratum_of
from fleet_server.services.ports.database import Tables
from fleet_server.services.records.devices import DeviceState
from fleet_server.services.records.rollouts import RolloutRecord

MAX_CONTROLS = 200
"""Controls of one stratum that are read; more say hardly more, and a gate must stay cheap."""

DEVICES_PER_S = 2000
"""A roster of so many devices is kept for a second: at most a few percent of one core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceTimes:
    """How far evidence reaches.

    Attributes:
        baseline_s: How far back before a swap a device's windows are its baseline.
        interval_s: Polling interval by which silence is counted.
    """

    baseline_s: float
    interval_s: float

    @property
    def baseline(self) -> timedelta:
        """How far back before a swap a device's windows are its baseline."""
        return timedelta(seconds=self.baseline_s)

    @property
    def patience(self) -> timedelta:
        """Time without a poll after which a device is silent."""
        return timedelta(seconds=self.interval_s * POLLS_UNTIL_UNREACHABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Whom an open stage could reach, as of a moment.

    Attributes:
        made_at: UTC.
        devices: How many devices match.
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


def candidates_of(
    tables: Tables, plan: FleetPlan, record: RolloutRecord, times: EvidenceTimes, *, now: datetime
) -> list[Candidate]:
    """Return the devices that match a rollout and that a variant of its release fits."""
    rollout = record.rollout
    baselines = tables.telemetry.windows_since(rollout.model, now - times.baseline)
    found = []
    for device in tables.devices.page(selector=record.selector, after="", limit=None):
        variant = plan.pick(rollout.model, rollout.version, device)
        if variant is None or device.state is not DeviceState.ACTIVE:
            continue
        if rollout.model in device.pins:
            continue
        if rollout.stage.shadow is not None and not can_shadow(device):
            continue
        found.append(
            Candidate(
                device_id=device.id,
                stratum=stratum_of(device, variant.variant),
                site=device.labels.get("site", ""),
                last_polled_at=device.last_seen_at,
                poll_interval_s=times.interval_s,
                baseline_windows=baselines.get(device.id, 0),
                labels=device.labels,
            )
        )
    return found


def make_roster(rollout: Rollout, candidates: Sequence[Candidate], *, now: datetime) -> Roster:
    """Count whom the open stage reaches, and draw its controls."""

    def takes(candidate: Candidate) -> bool:
        return includes(rollout, candidate.device_id, candidate.stratum, candidate.labels)

    rest: dict[Stratum, list[str]] = defaultdict(list)
    for candidate in candidates:
        if not takes(candidate):
            rest[candidate.stratum].append(candidate.device_id)
    return Roster(
        made_at=now,
        devices=len(candidates),
        populations=populations(candidates, now, takes=takes),
        strata={
            device_id: stratum
            for stratum, ids in rest.items()
            for device_id in heapq.nsmallest(
                MAX_CONTROLS, ids, key=lambda d: (share_of(rollout.id, d), d)
            )
        },
    )
