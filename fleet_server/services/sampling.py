"""Who matches a rollout: all of a small fleet, and as many of a large one as a decision needs.

A sample is read cell by cell, in an order that the rollout draws, so that it costs the same in a
fleet of ten thousand and of a million. It only reads; who is chosen is the domain's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from fleet_server.domain.assignment import (
    CELLS,
    POLLS_UNTIL_UNREACHABLE,
    Candidate,
    cells_in_turn,
    is_reachable,
)
from fleet_server.domain.evidence import Stratum
from fleet_server.domain.policy import RolloutPolicy
from fleet_server.services.fleet_plan import FleetPlan, can_shadow, stratum_of
from fleet_server.services.ports.database import Tables
from fleet_server.services.records.devices import DeviceRecord, DeviceState, Member
from fleet_server.services.records.rollouts import RolloutRecord

WANTED = 1000
"""Reachable devices of a stratum that are enough for shares, sites and controls."""
_CHOICE = 4
"""Devices to choose each canary from, where more canaries are wanted than the above is good for."""


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


def sample(
    tables: Tables,
    plan: FleetPlan,
    record: RolloutRecord,
    times: EvidenceTimes,
    *,
    now: datetime,
    wanted: int | None = WANTED,
) -> list[Candidate]:
    """Return devices that match a rollout and that a variant of its release fits.

    Args:
        tables: One transaction.
        plan: Tells which variant fits.
        record: The rollout.
        times: How far back a baseline reaches.
        now: UTC.
        wanted: Reachable devices of each stratum to read, at least; those that the rollout named
            come beside them. None: all.
    """
    reader = _Reader(tables=tables, record=record, times=times, now=now)
    strata = _strata(tables, plan, record)
    kinds = defaultdict[Stratum, list[str]](list)
    for kind, stratum in strata.items():
        kinds[stratum].append(kind)
    named = reader.named(strata)
    least = largest_number(record.rollout.policy)
    found = list(named)
    for stratum in sorted(kinds):
        enough = None if wanted is None else max(wanted, _CHOICE * least)
        walked = reader.walk(stratum, kinds[stratum], enough=enough, least=least)
        found += [c for c in walked if c.device_id not in record.rollout.chosen]
    return found


def largest_number(policy: RolloutPolicy) -> int:
    """Return the most devices that a stage names, one at least."""
    return max(1, *(s.devices or s.devices_per_variant or 0 for s in policy.stages))


def _strata(tables: Tables, plan: FleetPlan, record: RolloutRecord) -> dict[str, Stratum]:
    """Return the stratum of each kind of device that a variant fits."""
    rollout, found = record.rollout, dict[str, Stratum]()
    for device in tables.devices.kinds():
        variant = plan.pick(rollout.model, rollout.version, device)
        able = rollout.stage.shadow is None or can_shadow(device)
        if variant is not None and able:
            found[device.kind] = stratum_of(device, variant.variant)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Reads candidates of one rollout at one moment."""

    tables: Tables
    record: RolloutRecord
    times: EvidenceTimes
    now: datetime

    def named(self, strata: dict[str, Stratum]) -> list[Candidate]:
        """Return the devices that the rollout has named, as far as they still match."""
        devices = self.tables.devices.some(self.record.rollout.chosen).values()
        members = defaultdict[Stratum, list[Member]](list)
        for device in devices:
            if device.kind in strata and self._matches(device):
                members[strata[device.kind]].append(_member(device))
        return [c for stratum, some in members.items() for c in self._candidates(stratum, some)]

    def walk(
        self, stratum: Stratum, kinds: Sequence[str], *, enough: int | None, least: int
    ) -> list[Candidate]:
        """Return the devices of the first cells, each step as many as of all steps before it.

        It ends when enough devices can be reached and, if any has a baseline, as many of them as
        a stage names have; or when all were read.
        """
        cells = cells_in_turn(self.record.rollout.id)
        found: list[Candidate] = []
        read, size = 0, CELLS if enough is None else 1
        while read < CELLS:
            found += self._read(stratum, kinds, cells[read : read + size])
            read += size
            size = read
            reachable = [c for c in found if is_reachable(c, self.now)]
            based = sum(1 for c in reachable if c.baseline_windows)
            if enough is not None and len(reachable) >= enough and (not based or based >= least):
                break
        return [replace(c, stands_for=CELLS / read) for c in found] if read < CELLS else found

    def _read(
        self, stratum: Stratum, kinds: Sequence[str], cells: Sequence[int]
    ) -> list[Candidate]:
        model = self.record.rollout.model
        selector = self.record.selector
        found = self.tables.devices.members(kinds, cells, selector=selector, unpinned=model)
        return self._candidates(stratum, found)

    def _matches(self, device: DeviceRecord) -> bool:
        pinned = self.record.rollout.model in device.pins
        active = device.state is DeviceState.ACTIVE
        return active and not pinned and self.record.selector.matches(device.labels)

    def _candidates(self, stratum: Stratum, members: Iterable[Member]) -> list[Candidate]:
        members = list(members)
        since = self.now - self.times.baseline
        windows = self.tables.telemetry.windows_since(
            [m.id for m in members], self.record.rollout.model, since
        )
        return [
            Candidate(
                device_id=member.id,
                stratum=stratum,
                site=member.labels.get("site", ""),
                last_polled_at=member.last_seen_at,
                poll_interval_s=self.times.interval_s,
                baseline_windows=windows.get(member.id, 0),
                labels=member.labels,
            )
            for member in members
        ]


def _member(device: DeviceRecord) -> Member:
    return Member(
        id=device.id, kind=device.kind, labels=device.labels, last_seen_at=device.last_seen_at
    )
