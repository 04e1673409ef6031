"""What one device should do next: the answer to a poll, and at most one offer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from fleet_server.domain.deployment import (
    Deployment,
    DeploymentEvent,
    DeploymentKind,
    DeploymentState,
    apply,
)
from fleet_server.domain.goal import Goal
from fleet_server.services.errors import NotFoundError
from fleet_server.services.fleet_plan import (
    KEPT_STATES,
    FleetPlan,
    PlanCache,
    can_shadow,
    goal_of,
    history_of,
)
from fleet_server.services.gatekeeper import Gatekeeper
from fleet_server.services.offers import Offer
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.records.deployments import DeploymentRecord
from fleet_server.services.records.devices import DeviceRecord, DeviceState
from fleet_server.services.records.releases import VariantRecord

logger = logging.getLogger(__name__)

_POLLS_TO_CANCEL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PollAnswer:
    """What a poll says.

    Attributes:
        action: Deployment to carry out; None for none.
        confirm: Deployment that waits for confirmation; None for none.
        installed: The last deployment that the device kept; None while it is at another.
        cancel: Deployment to give up; None for none.
        attributes_wanted: The device shall report its attributes.
        benchmark: Job for a device that has nothing else to do; None for none.
        diagnosis: Request for a diagnose bundle; None for none.
        token_sha256: Digest of the device's token as of this answer.
        keeps: The answer holds until something changes; False when time alone may change it.
        version: Number of the latest change that the answer knows.
        parameters: How many versions of parameters were set on it; 0 for none.
    """

    action: int | None
    confirm: int | None
    installed: int | None
    cancel: int | None
    attributes_wanted: bool
    benchmark: int | None
    diagnosis: int | None
    token_sha256: str
    keeps: bool
    version: int
    parameters: int = 0


class CheckInService:
    """Answers polls whose answer may have changed."""

    def __init__(self, database: Database, plans: PlanCache, *, poll_interval_s: float) -> None:
        self._database = database
        self._plans = plans
        self._patience = timedelta(seconds=_POLLS_TO_CANCEL * poll_interval_s)

    def poll(
        self, device_id: str, running: Mapping[str, str] | None, *, now: datetime
    ) -> PollAnswer:
        """Record what the device runs, and return what it should do.

        A new offer and whatever else changed is durable on return.

        Args:
            device_id: An authenticated device.
            running: Model to digest as it says; None if it cannot say.
            now: Current time, UTC.

        Raises:
            NotFoundError: The device is gone.
        """
        with self._database.read() as tables:
            visit = self._visit(tables, device_id, running, now=now)
        if visit.changes:
            with self._database.write() as tables:
                visit = self._visit(tables, device_id, running, now=now)
                visit = visit.save(tables, now=now)
        return visit.answer

    def _visit(
        self,
        tables: Tables,
        device_id: str,
        running: Mapping[str, str] | None,
        *,
        now: datetime,
    ) -> _Visit:
        stored = tables.devices.get(device_id)
        if stored is None:
            raise NotFoundError("there is no such device", where=device_id)
        device = stored
        if running is not None:
            device = replace(stored, running=dict(running), speaks_running=True)
        deployments = tables.deployments.of_device(device_id)
        plan = self._plans.get(tables)
        current = next((d for d in deployments if d.is_open), None)
        taken_back = current is not None and is_obsolete(device, current, deployments, plan)
        cancelling = next((d for d in deployments if d.cancelling), None)
        waits = cancelling is not None and now - cancelling.deployment.changed_at < self._patience
        free = (current is None or taken_back) and not waits
        gatekeeper = Gatekeeper(tables, device, deployments, plan, now)
        offer = next_offer(device, deployments, plan, may_go=gatekeeper) if free else None
        return _Visit(
            stored=stored,
            device=device,
            current=current,
            taken_back=taken_back,
            cancelling=cancelling,
            waits=waits,
            benchmark=tables.benchmarks.waiting(device_id),
            diagnosis=tables.diagnoses.waiting(device_id),
            installed=last_kept(deployments),
            withheld=gatekeeper.withheld,
            offer=offer,
            version=tables.changes.version(),
            parameters=tables.parameters.count(device_id),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Visit:
    """One poll, thought through."""

    stored: DeviceRecord
    device: DeviceRecord
    current: DeploymentRecord | None
    taken_back: bool
    cancelling: DeploymentRecord | None
    waits: bool
    installed: int | None
    withheld: bool
    offer: Offer | None
    benchmark: int | None
    diagnosis: int | None
    version: int
    parameters: int

    @property
    def changes(self) -> bool:
        """Whether anything is to be stored."""
        gave_up = self.cancelling is not None and not self.waits
        return self.device != self.stored or self.taken_back or gave_up or self.offer is not None

    @property
    def answer(self) -> PollAnswer:
        """What the device is told."""
        waits = self.current is not None and self.current.awaiting
        return PollAnswer(
            action=self.current.deployment.id if self.current and not waits else None,
            confirm=self.current.deployment.id if self.current and waits else None,
            installed=self.installed,
            cancel=self.cancelling.deployment.id if self.cancelling and self.waits else None,
            attributes_wanted=self.device.attributes_wanted,
            benchmark=self.benchmark if self._may_measure else None,
            diagnosis=self.diagnosis,
            token_sha256=self.device.token_sha256,
            keeps=not self.withheld and self.cancelling is None,
            version=self.version,
            parameters=self.parameters,
        )

    @property
    def _may_measure(self) -> bool:
        return self.device.state is DeviceState.ACTIVE and self.current is None and not self.waits

    def save(self, tables: Tables, *, now: datetime) -> _Visit:
        """Store what changed; returns the visit as it is then."""
        current, cancelling, waits = self.current, self.cancelling, self.waits
        if self.device != self.stored:
            tables.devices.put(self.device)
        if cancelling is not None and not waits:
            tables.deployments.put(replace(cancelling, cancelling=False))
            cancelling = None
        offer = self.offer
        if current is not None and self.taken_back:
            taken = _take_back(current, now=now)
            tables.deployments.put(taken)
            current = None
            if taken.cancelling:
                cancelling, waits, offer = taken, True, None
        if offer is not None:
            current = tables.deployments.add(_offered(self.device, offer, now=now))
            _log_offer(current)
        tables.changes.record(self.device.id)
        version = tables.changes.version()
        return replace(self, current=current, cancelling=cancelling, waits=waits, version=version)


def is_obsolete(
    device: DeviceRecord,
    current: DeploymentRecord,
    deployments: Sequence[DeploymentRecord],
    plan: FleetPlan,
) -> bool:
    """Say whether an offer that goes on should be taken back.

    One that the device runs already, on trial or not, is never taken back: its end is awaited.
    """
    offered = current.deployment
    if offered.state not in {DeploymentState.OFFERED, DeploymentState.DOWNLOADING}:
        return False
    history = history_of(device, offered.model, deployments, plan)
    if history.running == offered.version:
        return False
    if plan.frozen or device.state is not DeviceState.ACTIVE:
        return offered.state is DeploymentState.OFFERED
    goal = goal_of(history, device, offered.model, plan)
    return goal.version != offered.version


def next_offer(
    device: DeviceRecord,
    deployments: Sequence[DeploymentRecord],
    plan: FleetPlan,
    *,
    may_go: Callable[[Offer], bool] = bool,
) -> Offer | None:
    """Return the first thing that the device should change; None when all is as it should be.

    Args:
        device: The device.
        deployments: All of the device, oldest first.
        plan: What is to be had, and who shall have it.
        may_go: Says whether an offer may be made now; by default every one may.
    """
    if device.state is not DeviceState.ACTIVE or plan.frozen:
        return None
    for model in plan.models_for(device):
        history = history_of(device, model, deployments, plan)
        goal = goal_of(history, device, model, plan)
        if goal.alert:
            fields = {"device": device.id, "model": model, "alert": goal.alert}
            logger.warning("device needs attention", extra={"fields": fields})
        if goal.version is None or (goal.shadow is not None and not can_shadow(device)):
            continue
        variant = _variant_for(device, model, goal, deployments, plan)
        if variant is not None and device.running.get(model) != variant.digest:
            offer = Offer(
                model=model,
                version=goal.version,
                variant=variant,
                goal=goal,
                confirmation=_must_confirm(goal, plan),
            )
            if may_go(offer):
                return offer
    return None


def _must_confirm(goal: Goal, plan: FleetPlan) -> bool:
    """Say whether the device has to confirm; a way back never waits for anybody."""
    if goal.kind is DeploymentKind.ROLLBACK:
        return False
    asked = (r.rollout for r in plan.rollouts if r.rollout.id == goal.rollout_id)
    return any(rollout.policy.confirmation for rollout in asked)


def _variant_for(
    device: DeviceRecord,
    model: str,
    goal: Goal,
    deployments: Sequence[DeploymentRecord],
    plan: FleetPlan,
) -> VariantRecord | None:
    """Going back means back to the very bundle that the device had, where that is known."""
    version = goal.version or ""
    if goal.kind is DeploymentKind.ROLLBACK:
        for record in reversed(deployments):
            had = record.deployment
            if (had.model, had.version) == (model, version) and had.state in KEPT_STATES:
                release = plan.releases.get((model, version))
                return release.variant(had.variant) if release else None
    return plan.pick(model, version, device)


def _take_back(record: DeploymentRecord, *, now: datetime) -> DeploymentRecord:
    withdrawn = apply(record.deployment, DeploymentEvent.WITHDRAW, now=now)
    return replace(record, deployment=withdrawn, ended_at=now, cancelling=record.retrieved)


def last_kept(deployments: Sequence[DeploymentRecord]) -> int | None:
    """Return the number of the last deployment that a device kept."""
    kept = [d.deployment.id for d in deployments if d.deployment.state in KEPT_STATES]
    return kept[-1] if kept else None


def _offered(device: DeviceRecord, offer: Offer, *, now: datetime) -> DeploymentRecord:
    return DeploymentRecord(
        deployment=Deployment(
            id=0,
            device_id=device.id,
            rollout_id=offer.goal.rollout_id,
            model=offer.model,
            version=offer.version,
            variant=offer.variant.variant,
            kind=offer.goal.kind,
            offered_at=now,
            changed_at=now,
        ),
        digest=offer.variant.digest,
        awaiting=offer.confirmation and device.auto_confirm is None,
        shadow=offer.goal.shadow.order if offer.goal.shadow is not None else None,
    )


def _log_offer(record: DeploymentRecord) -> None:
    offered = record.deployment
    fields = {
        "action": offered.id,
        "device": offered.device_id,
        "kind": offered.kind.value,
        "release": f"{offered.model} {offered.version} {offered.variant}",
    }
    logger.info("deployment offered", extra={"fields": fields})
