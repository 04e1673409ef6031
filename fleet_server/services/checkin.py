"""What devices should do next: the answers to polls, and at most one offer for each device.

Polls that come at the same time are answered from one consistent state, and what they change is
stored together.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from fleet_server.domain.deployment import Deployment, DeploymentEvent, apply
from fleet_server.services.errors import NotFoundError
from fleet_server.services.fleet_plan import KEPT_STATES, FleetPlan, PlanCache
from fleet_server.services.gatekeeper import Gatekeeper
from fleet_server.services.offers import Offer, is_obsolete, next_offer
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.records.deployments import DeploymentRecord
from fleet_server.services.records.devices import DeviceRecord, DeviceState

logger = logging.getLogger(__name__)

_POLLS_TO_CANCEL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """What a device says when it asks.

    Attributes:
        device_id: Who it says it is.
        running: Model to digest as it says; None if it cannot say.
        at: When, UTC.
    """

    device_id: str
    running: Mapping[str, str] | None
    at: datetime


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
        """Record what an authenticated device runs, and return what it should do.

        A new offer and whatever else changed is durable on return.

        Raises:
            NotFoundError: The device is gone.
        """
        asked = (Poll(device_id=device_id, running=running, at=now),)
        (visit,) = self.look(asked)
        if visit is not None and visit.changes:
            (visit,) = self.save(asked)
        if visit is None:
            raise NotFoundError("there is no such device", where=device_id)
        return visit.answer

    def look(self, polls: Sequence[Poll]) -> list[Visit | None]:
        """Think polls through; stores nothing. None stands for a device that is not known."""
        with self._database.read() as tables:
            known = self._stored(tables, polls)
            return [self._visit(tables, known, poll) for poll in polls]

    def save(self, polls: Sequence[Poll]) -> list[Visit | None]:
        """Think polls through and store what they change; durable on return."""
        visits: dict[int, Visit | None] = {}
        with self._database.together() as tables:
            rest = dict(enumerate(polls))
            while rest:
                firsts = {poll.device_id: number for number, poll in reversed(rest.items())}
                turn = {number: rest.pop(number) for number in sorted(firsts.values())}
                known = self._stored(tables, turn.values())
                for number, poll in turn.items():
                    visit = self._visit(tables, known, poll)
                    visits[number] = visit and visit.save(tables, now=poll.at)
        return [visits[number] for number in range(len(polls))]

    def _stored(self, tables: Tables, polls: Iterable[Poll]) -> _Stored:
        ids = [poll.device_id for poll in polls]
        return _Stored(
            devices=tables.devices.some(ids),
            deployments=tables.deployments.of_devices(ids),
            benchmarks=tables.benchmarks.waiting(ids),
            diagnoses=tables.diagnoses.waiting(ids),
            parameters=tables.parameters.counts(ids),
            plan=self._plans.get(tables),
            version=tables.changes.version(),
        )

    def _visit(self, tables: Tables, known: _Stored, poll: Poll) -> Visit | None:
        stored = known.devices.get(poll.device_id)
        if stored is None:
            return None
        now, device = poll.at, _as_it_says(stored, poll.running)
        deployments, plan = known.deployments.get(device.id, []), known.plan
        current = next((d for d in deployments if d.is_open), None)
        taken_back = current is not None and is_obsolete(device, current, deployments, plan)
        cancelling = next((d for d in deployments if d.cancelling), None)
        waits = cancelling is not None and now - cancelling.deployment.changed_at < self._patience
        free = (current is None or taken_back) and not waits
        gatekeeper = Gatekeeper(tables, device, deployments, plan, now)
        offer = next_offer(device, deployments, plan, may_go=gatekeeper) if free else None
        return Visit(
            stored=stored,
            device=device,
            current=current,
            taken_back=taken_back,
            cancelling=cancelling,
            waits=waits,
            benchmark=known.benchmarks.get(device.id),
            diagnosis=known.diagnoses.get(device.id),
            installed=last_kept(deployments),
            withheld=gatekeeper.withheld,
            offer=offer,
            version=known.version,
            parameters=known.parameters.get(device.id, 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """What is stored about the devices of several polls, by device, and about the whole fleet."""

    devices: Mapping[str, DeviceRecord]
    deployments: Mapping[str, Sequence[DeploymentRecord]]
    benchmarks: Mapping[str, int]
    diagnoses: Mapping[str, int]
    parameters: Mapping[str, int]
    plan: FleetPlan
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One poll, thought through.

    Attributes:
        stored: The device as it was found.
        device: As the poll says it is.
        current: The deployment that goes on.
        taken_back: It shall go on no longer.
        cancelling: What the device shall give up, and has not said so.
        waits: It is still asked to.
        installed: Number of the last deployment that it kept.
        withheld: There is an offer that may not be made now.
        offer: What to offer.
        benchmark: A job that waits for it.
        diagnosis: A request that waits for it.
        version: Number of the latest change.
        parameters: How many versions of parameters were set on it.
    """

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

    def save(self, tables: Tables, *, now: datetime) -> Visit:
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


def _as_it_says(stored: DeviceRecord, running: Mapping[str, str] | None) -> DeviceRecord:
    if running is None:
        return stored
    return replace(stored, running=dict(running), speaks_running=True)


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
