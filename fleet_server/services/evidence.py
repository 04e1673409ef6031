"""Windows, deployments and polls of a stage -> what a gate reads.

Canaries and controls over the same interval of the server's clock. Only digests that were offered
to the device, or that it ran before, count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fleet_server.domain.assignment import (
    POLLS_UNTIL_UNREACHABLE,
    Candidate,
    populations,
    share_of,
)
from fleet_server.domain.deployment import DeploymentKind
from fleet_server.domain.evidence import DeviceEvidence, Evidence, Role, Stratum
from fleet_server.domain.rollout import Rollout, includes
from fleet_server.services.fleet_plan import FleetPlan
from fleet_server.services.ports import Tables
from fleet_server.services.records import DeploymentRecord, DeviceRecord, RolloutRecord

MAX_CONTROLS = 200
"""Controls of one stratum that are read; more say hardly more, and a gate must stay cheap."""


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
    def patience(self) -> timedelta:
        """Time without a poll after which a device is silent."""
        return timedelta(seconds=self.interval_s * POLLS_UNTIL_UNREACHABLE)


def candidates_of(
    tables: Tables, plan: FleetPlan, record: RolloutRecord, times: EvidenceTimes, *, now: datetime
) -> list[Candidate]:
    """Return the devices that match a rollout and that a variant of its release fits."""
    rollout = record.rollout
    since = now - timedelta(seconds=times.baseline_s)
    baselines = tables.telemetry.windows_since(rollout.model, since)
    found = []
    for device in tables.devices.page(selector=record.selector, after="", limit=None):
        variant = plan.pick(rollout.model, rollout.version, device)
        if variant is None:
            continue
        found.append(
            Candidate(
                device_id=device.id,
                stratum=stratum_of(device, variant.variant),
                site=device.labels.get("site", ""),
                last_polled_at=device.last_seen_at,
                poll_interval_s=times.interval_s,
                baseline_windows=baselines.get(device.id, 0),
            )
        )
    return found


def stratum_of(device: DeviceRecord, variant: str) -> Stratum:
    """Return the variant and class of profile by which a device is compared."""
    return Stratum(variant=variant, profile_class=device.profile.arch if device.profile else "")


def gather(
    tables: Tables, plan: FleetPlan, record: RolloutRecord, times: EvidenceTimes, *, now: datetime
) -> Evidence:
    """Return the evidence of the stage that a rollout is in; empty before it is open."""
    rollout = record.rollout
    started_at = rollout.stage_started_at
    if started_at is None:
        return Evidence()
    candidates = candidates_of(tables, plan, record, times, now=now)
    offered = {
        d.deployment.device_id: d
        for d in tables.deployments.of_rollout(rollout.id)
        if d.deployment.kind is DeploymentKind.ROLLOUT
    }
    reader = _Reader(
        tables=tables, plan=plan, rollout=rollout, started_at=started_at, times=times, now=now
    )
    canaries = [
        reader.canary(c, offered.get(c.device_id))
        for c in candidates
        if c.device_id in offered or includes(rollout, c.device_id)
    ]
    controls = [reader.control(c) for c in _some_controls(rollout, candidates, offered)]
    return Evidence(
        devices=(*canaries, *controls),
        populations=populations(candidates, now, takes=lambda d: includes(rollout, d)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Reads the windows of single devices for one stage."""

    tables: Tables
    plan: FleetPlan
    rollout: Rollout
    started_at: datetime
    times: EvidenceTimes
    now: datetime

    def canary(self, candidate: Candidate, offered: DeploymentRecord | None) -> DeviceEvidence:
        """Before its swap on what it ran, after it in the stage on what it was offered."""
        stratum = candidate.stratum
        swapped_at, digest = self.started_at, self._digest(stratum)
        if offered is not None:
            stratum = Stratum(
                variant=offered.deployment.variant, profile_class=stratum.profile_class
            )
            swapped_at, digest = offered.activated_at or swapped_at, offered.digest
        activated = offered is not None and offered.activated_at is not None
        telemetry, device_id = self.tables.telemetry, candidate.device_id
        old = telemetry.last_digest(
            device_id, self.rollout.model, before=swapped_at, other_than=digest
        )
        return DeviceEvidence(
            device_id=device_id,
            stratum=stratum,
            role=Role.CANARY,
            site=candidate.site,
            outcome=offered.deployment.state if offered else None,
            silent=activated and self._is_silent(candidate),
            before=telemetry.summary(
                device_id, old or "", since=swapped_at - self._baseline, until=swapped_at
            ),
            after=telemetry.summary(device_id, digest, since=self.started_at, until=self.now),
        )

    def control(self, candidate: Candidate) -> DeviceEvidence:
        """What it runs, before and after the stage began."""
        telemetry, device_id = self.tables.telemetry, candidate.device_id
        digest = telemetry.last_digest(device_id, self.rollout.model, before=self.started_at) or ""
        started_at = self.started_at
        return DeviceEvidence(
            device_id=device_id,
            stratum=candidate.stratum,
            role=Role.CONTROL,
            site=candidate.site,
            silent=self._is_silent(candidate),
            before=telemetry.summary(
                device_id, digest, since=started_at - self._baseline, until=started_at
            ),
            after=telemetry.summary(device_id, digest, since=started_at, until=self.now),
        )

    @property
    def _baseline(self) -> timedelta:
        return timedelta(seconds=self.times.baseline_s)

    def _digest(self, stratum: Stratum) -> str:
        release = self.plan.releases.get((self.rollout.model, self.rollout.version))
        variant = release.variant(stratum.variant) if release else None
        return variant.digest if variant else ""

    def _is_silent(self, candidate: Candidate) -> bool:
        seen = candidate.last_polled_at
        return seen is None or self.now - seen > self.times.patience


def _some_controls(
    rollout: Rollout, candidates: Sequence[Candidate], offered: Mapping[str, DeploymentRecord]
) -> list[Candidate]:
    """Return the devices that do not take part, at most MAX_CONTROLS of each stratum.

    Which ones is drawn by share, so that it does not change from tick to tick.
    """
    rest = [
        c for c in candidates if c.device_id not in offered and not includes(rollout, c.device_id)
    ]
    rest.sort(key=lambda c: share_of(rollout.id, c.device_id))
    taken: dict[Stratum, int] = {}
    some = []
    for candidate in rest:
        taken[candidate.stratum] = taken.get(candidate.stratum, 0) + 1
        if taken[candidate.stratum] <= MAX_CONTROLS:
            some.append(candidate)
    return some
