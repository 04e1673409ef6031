"""Rollouts: start, plan, step, and what people may do. Load -> decide in the domain -> save."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from edgekit import codec
from edgekit.client.wire.rollouts import NewRollout, PlanRow
from edgekit.device import mismatch
from edgekit.errors import ConflictError
from fleet_server.domain import rollout as rules
from fleet_server.domain import steering
from fleet_server.domain.assignment import (
    Candidate,
    choose_canaries,
    is_reachable,
    takes_part,
)
from fleet_server.domain.deployment import FAILED_STATES
from fleet_server.domain.goal import ReleaseState
from fleet_server.domain.happenings import Retried
from fleet_server.domain.policy import parse_policy
from fleet_server.domain.rollout import Outcome, Rollout
from fleet_server.domain.selector import intersect, parse_selector
from fleet_server.services.errors import NotFoundError
from fleet_server.services.evidence import Gatherer
from fleet_server.services.fleet import MAX_RETRIES
from fleet_server.services.fleet_plan import FleetPlan, PlanCache
from fleet_server.services.narrative import recorded
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.records.devices import DeviceRecord
from fleet_server.services.records.rollouts import RolloutRecord
from fleet_server.services.sampling import EvidenceTimes, sample

logger = logging.getLogger(__name__)

Verb = Callable[[Rollout], Outcome]


class RolloutService:
    """Starts, steps and steers rollouts."""

    def __init__(self, database: Database, plans: PlanCache, times: EvidenceTimes) -> None:
        self._database = database
        self._plans = plans
        self._times = times
        self._gatherer = Gatherer(times)

    def start(self, wanted: NewRollout, *, by: str, now: datetime) -> RolloutRecord:
        """Start a rollout; durable on return.

        Raises:
            UsageError: The policy or the selector cannot be carried out.
            NotFoundError: There is no such release.
            ConflictError: The release is withdrawn, or another open rollout of the model may
                reach the same devices.
        """
        with self._database.write() as tables:
            record = begin_rollout(tables, self._plans.get(tables), wanted, by=by, now=now)
        fields = {"rollout": record.rollout.id}
        logger.info("rollout scheduled", extra={"fields": fields})
        return record

    def plan(self, wanted: NewRollout, *, now: datetime) -> list[PlanRow]:
        """Return what a rollout would reach, per distinct profile; stores nothing.

        Raises:
            UsageError: The policy or the selector cannot be carried out.
            NotFoundError: There is no such release.
        """
        with self._database.read() as tables:
            plan = self._plans.get(tables)
            record = _new(wanted, plan, by="", now=now)
            devices = tables.devices.page(selector=record.selector, after="", limit=None)
            candidates = sample(tables, plan, record, self._times, now=now, wanted=None)
        reached = _reached(record.rollout, candidates, now=now)
        groups: dict[bytes, list[DeviceRecord]] = defaultdict(list)
        for device in devices:
            groups[codec.encode(device.profile)].append(device)
        return [_plan_row(record.rollout, group, plan, reached) for group in groups.values()]

    def get(self, rollout_id: str) -> RolloutRecord:
        """Return a rollout.

        Raises:
            NotFoundError: There is none.
        """
        with self._database.read() as tables:
            return _existing(tables, rollout_id)

    def steer(self, rollout_id: str, verb: str, *, by: str, now: datetime) -> RolloutRecord:
        """Pause, resume, promote, approve or abort; durable on return.

        Raises:
            NotFoundError: There is no such rollout, or nobody knows the verb.
            IllegalTransitionError: It is not possible now.
        """
        verbs: Mapping[str, Verb] = {
            "pause": lambda r: steering.pause(r, by=by, now=now),
            "resume": lambda r: steering.resume(r, by=by, now=now),
            "promote": lambda r: steering.promote(r, by=by, now=now),
            "abort": lambda r: steering.abort(r, by=by, now=now),
            "approve": lambda r: steering.approve(r, by=by, now=now),
        }
        if verb == "retry":
            return self.retry(rollout_id, by=by, now=now)
        if verb not in verbs:
            raise NotFoundError(f"a rollout cannot {verb!r}")
        with self._database.write() as tables:
            record = _existing(tables, rollout_id)
            return _save(tables, record, verbs[verb](record.rollout), now=now)

    def retry(self, rollout_id: str, *, by: str, now: datetime) -> RolloutRecord:
        """Let every device of a rollout be offered again what failed there; at most twice each.

        Raises:
            NotFoundError: There is no such rollout.
            ConflictError: It is over, or nothing failed that may be tried again.
        """
        with self._database.write() as tables:
            record = _existing(tables, rollout_id)
            if record.rollout.is_terminal:
                raise ConflictError("is over", where=rollout_id, todo="start a new rollout")
            mine = tables.deployments.of_rollout(rollout_id)
            tried = Counter(d.deployment.device_id for d in mine if d.forgiven)
            again = [
                d
                for d in mine
                if d.deployment.state in FAILED_STATES
                and not d.forgiven
                and tried[d.deployment.device_id] < MAX_RETRIES
            ]
            if not again:
                raise ConflictError("nothing failed that may be tried again", where=rollout_id)
            for deployment in again:
                tables.deployments.put(replace(deployment, forgiven=True))
            happening = Retried(
                stage=record.rollout.stage_index,
                by=by,
                devices=tuple(sorted(d.deployment.device_id for d in again)),
            )
            tables.changes.record(None)
            return _save(tables, record, (record.rollout, (happening,)), now=now)

    def tick(self, *, now: datetime) -> None:
        """Step every open rollout once; each in a transaction of its own. Rerunning is safe."""
        with self._database.read() as tables:
            open_ids = tables.rollouts.open_ids()
        for rollout_id in open_ids:
            self.step(rollout_id, now=now)

    def step(self, rollout_id: str, *, now: datetime) -> RolloutRecord:
        """Step one rollout.

        Evidence is read first, without holding anybody up; when a person changed the rollout in
        between, nothing is saved and the next tick decides.
        """
        with self._database.read() as tables:
            record = _existing(tables, rollout_id)
            outcome = self._decide(tables, record, now=now)
        if outcome == (record.rollout, ()):
            return record
        if outcome[0].changed_at != record.rollout.changed_at:
            self._gatherer.refresh(rollout_id)  # what ends a stage is decided on a fresh roster
            with self._database.read() as tables:
                outcome = self._decide(tables, record, now=now)
        with self._database.write() as tables:
            if _existing(tables, rollout_id) != record:
                return record
            record = _save(tables, record, outcome, now=now)
        if record.rollout.is_terminal:
            self._gatherer.forget(rollout_id)
        return record

    def _decide(self, tables: Tables, record: RolloutRecord, *, now: datetime) -> Outcome:
        rollout = record.rollout
        plan = self._plans.get(tables)
        if rollout.needs_opening and not rollout.awaits_approval:
            candidates = sample(tables, plan, record, self._times, now=now)
            if _is_by_number(rollout) and not any(is_reachable(c, now) for c in candidates):
                return rollout, ()  # a number is chosen once: not before there is somebody
            return rules.open_stage(rollout, candidates, now)
        return rules.step(rollout, self._gatherer.gather(tables, plan, record, now=now), now)


def begin_rollout(
    tables: Tables, plan: FleetPlan, wanted: NewRollout, *, by: str, now: datetime
) -> RolloutRecord:
    """Schedule a rollout within a transaction. Raises as `RolloutService.start` does."""
    record = _new(wanted, plan, by=by, now=now)
    _refuse_overlap(record, plan)
    tables.rollouts.put(record)
    tables.changes.record(None)
    return record


def _is_by_number(rollout: Rollout) -> bool:
    return rollout.stage.percent is None and not rollout.stage.selector


def _existing(tables: Tables, rollout_id: str) -> RolloutRecord:
    record = tables.rollouts.get(rollout_id)
    if record is None:
        raise NotFoundError("there is no such rollout", where=rollout_id)
    return record


def _save(
    tables: Tables, record: RolloutRecord, outcome: Outcome, *, now: datetime
) -> RolloutRecord:
    rollout, happenings = outcome
    after = replace(record, rollout=rollout)
    if rollout.is_terminal and record.ended_at is None:
        after = replace(after, ended_at=now)
    tables.rollouts.put(after)
    told = [recorded(happening, stage=rollout.stage_index, at=now) for happening in happenings]
    tables.rollouts.tell(rollout.id, told)
    if _reach(rollout) != _reach(record.rollout):
        tables.changes.record(None)
    for happening in told:
        fields = {"rollout": rollout.id, "kind": happening.kind, "text": happening.text}
        logger.info("rollout", extra={"fields": fields})
    return after


def _reach(rollout: Rollout) -> tuple[object, ...]:
    """Everything about a rollout that a device's answer depends on."""
    return (
        rollout.phase,
        rollout.stage_index,
        rollout.stage_started_at is None,
        rollout.chosen,
        rollout.passed,
        rollout.vouched,
    )


def _new(wanted: NewRollout, plan: FleetPlan, *, by: str, now: datetime) -> RolloutRecord:
    where = f"rollout of {wanted.model} {wanted.version}"
    release = plan.releases.get((wanted.model, wanted.version))
    if release is None:
        raise NotFoundError("there is no such release", where=f"{wanted.model} {wanted.version}")
    if release.state is not ReleaseState.LISTED:
        raise ConflictError("the release is withdrawn", where=where)
    policy = parse_policy(wanted.policy, where)
    same = [r for r in plan.rollouts if r.rollout.model == wanted.model]
    same = [r for r in same if r.rollout.version == wanted.version]
    rollout = rules.new_rollout(
        rollout_id=f"{wanted.model}-{wanted.version}-{len(same) + 1}",
        model=wanted.model,
        version=wanted.version,
        policy=policy,
        now=now,
        by=by,
    )
    return RolloutRecord(rollout=rollout, selector=parse_selector(policy.selector))


def _refuse_overlap(record: RolloutRecord, plan: FleetPlan) -> None:
    for held in plan.experiments:
        same = held.experiment.is_running and held.experiment.model == record.rollout.model
        if same and intersect(held.selector, record.selector):
            raise ConflictError(
                f"experiment {held.experiment.id} of the same model runs on such devices",
                where=record.rollout.id,
                todo="stop it, or promote its winner",
            )
    for other in plan.rollouts:
        if other.rollout.model != record.rollout.model or other.rollout.is_terminal:
            continue
        if intersect(other.selector, record.selector):
            raise ConflictError(
                f"rollout {other.rollout.id} of the same model is open and may reach the same"
                " devices",
                where=record.rollout.id,
                todo="wait for its end, abort it, or use another selector",
            )


def _reached(
    rollout: Rollout, candidates: list[Candidate], *, now: datetime
) -> list[frozenset[str]]:
    """Return the devices that each stage would reach if it opened now."""
    chosen: frozenset[str] = frozenset()
    reached = []
    for index, stage in enumerate(rollout.policy.stages):
        chosen = choose_canaries(stage, candidates, rollout_id=rollout.id, now=now, chosen=chosen)
        taking = {
            c.device_id
            for c in candidates
            if any(s.selector and s.selects(c.labels) for s in rollout.policy.stages[: index + 1])
            or takes_part(
                stage,
                c.device_id,
                rollout_id=rollout.id,
                chosen=chosen,
                holdback=rollout.policy.holdback,
            )
        }
        reached.append(frozenset(taking))
    return reached


def _plan_row(
    rollout: Rollout,
    group: list[DeviceRecord],
    plan: FleetPlan,
    reached: list[frozenset[str]],
) -> PlanRow:
    profile = group[0].profile
    variant = plan.pick(rollout.model, rollout.version, group[0])
    ids = {device.id for device in group}
    reason = ""
    if variant is None:
        release = plan.releases[rollout.model, rollout.version]
        reasons = {mismatch(v.requires, profile) for v in release.variants if profile}
        reason = "; ".join(sorted(reasons)) or "the device never said what it can run"
    return PlanRow(
        variant=variant.variant if variant else "",
        reason=reason,
        devices=len(group),
        runtimes=dict(profile.runtimes) if profile else {},
        reached=tuple(len(ids & taking) for taking in reached),
    )
