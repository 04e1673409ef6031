"""Windows, deployments and polls of a stage -> what a gate reads.

Canaries and controls over the same interval of the server's clock. Only digests that were offered
to the device, or that it ran before, count. A canary is a device that was offered the release.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from fleet_server.domain.deployment import DeploymentKind
from fleet_server.domain.drift import Drifting
from fleet_server.domain.evidence import (
    DeviceEvidence,
    Evidence,
    LeftOut,
    Neighbour,
    Population,
    Role,
    Stratum,
    Summary,
)
from fleet_server.domain.guard_rails import MIN_ERRORS
from fleet_server.domain.rollout import Rollout
from fleet_server.services.drift import HOLD_FOR, drifting
from fleet_server.services.fleet_plan import FleetPlan, stratum_of
from fleet_server.services.ports.database import Tables
from fleet_server.services.records.deployments import DeploymentRecord
from fleet_server.services.records.devices import DeviceRecord, DeviceState
from fleet_server.services.records.rollouts import RolloutRecord
from fleet_server.services.roster import Roster, make_roster
from fleet_server.services.sampling import EvidenceTimes, sample

_DRIFT_KEPT = timedelta(minutes=1)
_Key = tuple[str, str, datetime]
_Sums = Mapping[tuple[str, str], Summary]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Baseline:
    """What a device ran before a swap, and how."""

    digest: str
    summary: Summary


class Gatherer:
    """Gathers evidence; remembers rosters and baselines, which are history. One for a scheduler."""

    def __init__(self, times: EvidenceTimes) -> None:
        self._times = times
        self._rosters: dict[str, tuple[tuple[object, ...], Roster]] = {}
        self._baselines: dict[_Key, _Baseline] = {}
        self._drifts: dict[str, tuple[datetime | None, datetime, Drifting]] = {}
        self._around: dict[tuple[str, datetime, tuple[str, ...]], _Sums] = {}
        self._fresh: dict[_Key, _Baseline] = {}

    def gather(
        self, tables: Tables, plan: FleetPlan, record: RolloutRecord, *, now: datetime
    ) -> Evidence:
        """Return the evidence of the stage that a rollout is in; empty before it is open."""
        started_at = record.rollout.stage_started_at
        if started_at is None:
            return Evidence()
        roster = self._roster(tables, plan, record, now=now)
        offered = _offered(tables, record.rollout)
        ids = [*offered, *(d for d in roster.strata if d not in offered)]
        devices = tables.devices.some(ids)
        several = [d for d, device in devices.items() if len(device.running) > 1]
        stage = _Stage(
            rollout=record.rollout,
            started_at=started_at,
            now=now,
            times=self._times,
            after=tables.telemetry.summaries(
                ids, record.rollout.model, since=started_at, until=now
            ),
            neighbours=self._neighbours(tables, record.rollout, several, now=now),
            others=tables.deployments.activated_since(
                ids, started_at - self._times.baseline, other_than=record.rollout.model
            ),
        )
        self._read_controls(tables, stage, [d for d in roster.strata if d not in offered])
        found = []
        for device_id in ids:
            device, deployment = devices.get(device_id), offered.get(device_id)
            if device is None:
                continue
            baseline = self._baseline(tables, stage, device_id, deployment)
            found.append(
                stage.control(device, roster.strata[device_id], baseline)
                if deployment is None
                else stage.canary(device, deployment, baseline)
            )
        arranged = _arranged(stage, found, devices, roster.populations)
        asked = record.rollout.policy.gate.min_accuracy is not None
        labelled = tables.field.labelled(record.rollout.model) if asked else {}
        return replace(
            arranged,
            drift=self._drifting(tables, record.rollout, arranged, now=now),
            labelled={
                d.deployment.variant: (labelled[d.digest].right, labelled[d.digest].labelled)
                for d in offered.values()
                if d.digest in labelled
            },
        )

    def _drifting(
        self, tables: Tables, rollout: Rollout, evidence: Evidence, *, now: datetime
    ) -> Drifting:
        """Return who drifts; hours change slowly, so it is asked once a minute."""
        held = self._drifts.get(rollout.id)
        if held is not None and held[0] == rollout.resumed_at and now - held[1] < _DRIFT_KEPT:
            return held[2]
        found = drifting(
            tables,
            [device.device_id for device in evidence.devices],
            rollout.model,
            since=max(now - HOLD_FOR, rollout.resumed_at or now - HOLD_FOR),
        )
        self._drifts[rollout.id] = (rollout.resumed_at, now, found)
        return found

    def refresh(self, rollout_id: str) -> None:
        """Read a rollout's roster anew the next time."""
        self._rosters.pop(rollout_id, None)

    def forget(self, rollout_id: str) -> None:
        """Drop what was remembered of a rollout; reading it again is only slower."""
        self._drifts.pop(rollout_id, None)
        self.refresh(rollout_id)
        self._baselines = {k: v for k, v in self._baselines.items() if k[0] != rollout_id}
        self._around = {k: v for k, v in self._around.items() if k[0] != rollout_id}

    def _roster(
        self, tables: Tables, plan: FleetPlan, record: RolloutRecord, *, now: datetime
    ) -> Roster:
        rollout = record.rollout
        reach = (
            *(rollout.stage_started_at, rollout.stage_index, rollout.phase),
            *(rollout.chosen, rollout.passed, rollout.vouched),
        )
        held = self._rosters.get(rollout.id)
        if held is not None and held[0] == reach and held[1].is_fresh(now):
            return held[1]
        candidates = sample(tables, plan, record, self._times, now=now)
        roster = make_roster(rollout, candidates, now=now)
        self._rosters[rollout.id] = (reach, roster)
        return roster

    def _neighbours(
        self, tables: Tables, rollout: Rollout, device_ids: Sequence[str], *, now: datetime
    ) -> dict[str, tuple[Neighbour, ...]]:
        """Return the other models of devices that ran the same bundle before and in the stage."""
        started_at = rollout.stage_started_at
        if started_at is None or not device_ids:
            return {}
        key = (rollout.id, started_at, tuple(device_ids))
        before = self._around.get(key)
        if before is None:
            before = tables.telemetry.neighbours(
                device_ids, rollout.model, since=started_at - self._times.baseline, until=started_at
            )
            if now - started_at > self._times.patience:
                self._around = {k: v for k, v in self._around.items() if k[0] != rollout.id}
                self._around[key] = before
        after = tables.telemetry.neighbours(device_ids, rollout.model, since=started_at, until=now)
        found: dict[str, tuple[Neighbour, ...]] = {}
        for device_and_digest in sorted(before.keys() & after.keys()):
            pair = Neighbour(before=before[device_and_digest], after=after[device_and_digest])
            device_id = device_and_digest[0]
            found[device_id] = (*found.get(device_id, ()), pair)
        return found

    def _read_controls(self, tables: Tables, stage: _Stage, ids: Sequence[str]) -> None:
        """Read the baselines of all controls at once: one by one they were most of a round."""
        started_at, model = stage.started_at, stage.rollout.model
        self._fresh = {}
        ids = [d for d in ids if (stage.rollout.id, d, started_at) not in self._baselines]
        since = started_at - self._times.baseline
        telemetry = tables.telemetry
        sums = telemetry.summaries(ids, model, since=since, until=started_at)
        last = dict(telemetry.last_digests(ids, model, since=since, before=started_at))
        idle = [d for d in ids if d not in last]
        last.update(telemetry.last_digests(idle, model, since=None, before=started_at))
        for device_id in ids:
            digest = last.get(device_id, "")
            summary = sums.get((device_id, digest), Summary())
            baseline = _Baseline(digest=digest, summary=summary)
            self._fresh[stage.rollout.id, device_id, started_at] = baseline

    def _baseline(
        self, tables: Tables, stage: _Stage, device_id: str, deployment: DeploymentRecord | None
    ) -> _Baseline:
        """Read a device's baseline; once, as soon as windows of before cannot be on their way."""
        swapped_at = stage.swapped_at(deployment)
        key = (stage.rollout.id, device_id, swapped_at)
        known = self._baselines.get(key)
        if known is not None:
            return known
        baseline = self._fresh.get(key) if deployment is None else None
        if baseline is None:
            baseline = self._read_baseline(tables, stage, device_id, deployment)
        if stage.now - swapped_at > self._times.patience:
            self._baselines[key] = baseline
        return baseline

    def _read_baseline(
        self, tables: Tables, stage: _Stage, device_id: str, deployment: DeploymentRecord | None
    ) -> _Baseline:
        swapped_at = stage.swapped_at(deployment)
        digest = tables.telemetry.last_digest(
            device_id,
            stage.rollout.model,
            before=swapped_at,
            other_than=deployment.digest if deployment else "",
        )
        summary = tables.telemetry.summary(
            device_id,
            stage.rollout.model,
            digest or "",
            since=swapped_at - self._times.baseline,
            until=swapped_at,
        )
        return _Baseline(digest=digest or "", summary=summary)


def _offered(tables: Tables, rollout: Rollout) -> dict[str, DeploymentRecord]:
    """Return the latest offer to each device; one that only tried it is a canary of such a stage.

    In the stages after it that device runs what it ran, until it is offered the release again.
    """
    return {
        d.deployment.device_id: d
        for d in tables.deployments.of_rollout(rollout.id)
        if d.deployment.kind is DeploymentKind.ROLLOUT
        and (rollout.stage.shadow is not None or d.shadow is None)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """One open stage, and what was read for all of its devices at once."""

    rollout: Rollout
    started_at: datetime
    now: datetime
    times: EvidenceTimes
    after: _Sums
    neighbours: Mapping[str, tuple[Neighbour, ...]]
    others: Mapping[str, datetime]

    def swapped_at(self, deployment: DeploymentRecord | None) -> datetime:
        """Return when a canary began to run the release; of a control when the stage began."""
        activated = deployment.activated_at if deployment else None
        return activated or self.started_at

    def canary(
        self, device: DeviceRecord, offered: DeploymentRecord, baseline: _Baseline
    ) -> DeviceEvidence:
        """Before its swap on what it ran, after it in the stage on what it was offered."""
        return DeviceEvidence(
            device_id=device.id,
            stratum=stratum_of(device, offered.deployment.variant),
            role=Role.CANARY,
            site=device.labels.get("site", ""),
            outcome=offered.deployment.state,
            silent=offered.activated_at is not None and self._is_silent(device),
            before=baseline.summary,
            after=self.after.get((device.id, offered.digest), Summary()),
            shadow=offered.found,
            neighbours=self.neighbours.get(device.id, ()),
        )

    def control(
        self, device: DeviceRecord, stratum: Stratum, baseline: _Baseline
    ) -> DeviceEvidence:
        """What it runs, before and after the stage began."""
        return DeviceEvidence(
            device_id=device.id,
            stratum=stratum,
            role=Role.CONTROL,
            site=device.labels.get("site", ""),
            silent=self._is_silent(device),
            overdue=self._is_overdue(device),
            before=baseline.summary,
            after=self.after.get((device.id, baseline.digest), Summary()),
            neighbours=self.neighbours.get(device.id, ()),
        )

    def why_left_out(self, found: DeviceEvidence, device: DeviceRecord) -> LeftOut | None:
        """Return why a device is no evidence; None when it is."""
        if device.gateway:
            return LeftOut.SHARED_GATEWAY
        if device.state is not DeviceState.ACTIVE:
            return LeftOut.QUARANTINED
        before = found.before
        tried = max(1, before.inferences)
        budget = self.rollout.policy.gate.error_rate_budget
        if before.errors >= MIN_ERRORS and before.errors / tried > budget:
            return LeftOut.UNHEALTHY_BEFORE
        changed_at = self.others.get(device.id)
        if changed_at is not None and changed_at > self.started_at - self.times.baseline:
            return LeftOut.OTHER_MODEL_CHANGED
        return None

    def _is_silent(self, device: DeviceRecord) -> bool:
        seen = device.last_seen_at
        return seen is None or self.now - seen > self.times.patience

    def _is_overdue(self, device: DeviceRecord) -> bool:
        """Whether half of the patience is over: later than any poll that was only late."""
        seen = device.last_seen_at
        late = seen is not None and self.now - seen > self.times.patience / 2
        return late and not self._is_silent(device)


def _arranged(
    stage: _Stage,
    found: Iterable[DeviceEvidence],
    devices: Mapping[str, DeviceRecord],
    populations: tuple[Population, ...],
) -> Evidence:
    """Part those that count from those that do not; whom nobody counts, nobody waits for."""
    counted: list[DeviceEvidence] = []
    left_out: dict[str, LeftOut] = {}
    missing: dict[Stratum, int] = {}
    for one in found:
        why = stage.why_left_out(one, devices[one.device_id])
        if why is None:
            counted.append(one)
        elif one.role is Role.CANARY:
            left_out[one.device_id] = why
            missing[one.stratum] = missing.get(one.stratum, 0) + 1
    return Evidence(
        devices=tuple(counted),
        populations=tuple(
            replace(p, taking_part=max(0, p.taking_part - missing.get(p.stratum, 0)))
            for p in populations
        ),
        left_out=left_out,
    )
