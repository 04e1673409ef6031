"""What one device ran at a time, and why it runs what it runs now. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from edgekit.bundle import open_bundle
from edgekit.client.wire.devices import Diagnosis, RanView
from edgekit.device import mismatch
from edgekit.errors import BundleError
from edgekit.manifest import Lineage
from fleet_server.domain.deployment import FAILED_STATES, DeploymentState
from fleet_server.domain.reach import was_tried
from fleet_server.domain.rollout import Phase
from fleet_server.services.errors import NotFoundError
from fleet_server.services.fleet_plan import (
    KEPT_STATES,
    FleetPlan,
    PlanCache,
    foreign_profile,
    goal_of,
    history_of,
)
from fleet_server.services.ports.database import Database
from fleet_server.services.ports.files import Blobs
from fleet_server.services.records.deployments import DeploymentRecord
from fleet_server.services.records.devices import DeviceRecord, DeviceState

_RAN = KEPT_STATES | {DeploymentState.ACTIVATED, DeploymentState.REVERTED}


class InspectionService:
    """Answers questions about single devices."""

    def __init__(
        self, database: Database, plans: PlanCache, blobs: Blobs, *, patience_s: float
    ) -> None:
        self._database = database
        self._plans = plans
        self._blobs = blobs
        self._patience = timedelta(seconds=patience_s)

    def ran_at(self, device_id: str, at: datetime) -> list[RanView]:
        """Return what a device ran at a time, one entry a model, with the bundle's lineage.

        Raises:
            NotFoundError: There is no such device.
        """
        with self._database.read() as tables:
            if tables.devices.get(device_id) is None:
                raise NotFoundError("there is no such device", where=device_id)
            deployments = tables.deployments.of_device(device_id)
        ran: dict[str, tuple[datetime, DeploymentRecord]] = {}
        for record in deployments:
            since, until = _interval(record)
            model = record.deployment.model
            latest = model not in ran or ran[model][0] <= since if since else False
            if since is not None and since <= at and (until is None or at < until) and latest:
                ran[model] = (since, record)
        return [self._ran(record, since, at) for _, (since, record) in sorted(ran.items())]

    def diagnose(self, device_id: str, *, now: datetime) -> Diagnosis:
        """Return why a device runs what it runs.

        Raises:
            NotFoundError: There is no such device.
        """
        with self._database.read() as tables:
            device = tables.devices.get(device_id)
            if device is None:
                raise NotFoundError("there is no such device", where=device_id)
            deployments = tables.deployments.of_device(device_id)
            plan = self._plans.get(tables)
        bad = [*self._contact(device, now=now), *_failures(deployments, plan)]
        told = [
            line
            for model in _models(device, plan)
            for line in _model(device, model, deployments, plan)
        ]
        bad += [line for healthy, line in told if not healthy]
        good = [line for healthy, line in told if healthy]
        return Diagnosis(healthy=not bad, findings=(*bad, *good))

    def _contact(self, device: DeviceRecord, *, now: datetime) -> Iterator[str]:
        if device.state is not DeviceState.ACTIVE:
            why = f": {device.alarm}" if device.alarm else ""
            yield f"it is {device.state.value}{why}"
        if device.last_seen_at is None:
            yield "it never polled"
        elif now - device.last_seen_at > self._patience:
            yield f"it has not polled since {device.last_seen_at.isoformat()}"
        if device.profile is None and foreign_profile(device) is None:
            yield "it never said what it can run, and has no label `client`"

    def _ran(self, record: DeploymentRecord, since: datetime, at: datetime) -> RanView:
        deployment = record.deployment
        return RanView(
            model=deployment.model,
            version=deployment.version,
            variant=deployment.variant,
            digest=record.digest,
            since=since.isoformat(),
            on_trial=record.ended_at is None or at < record.ended_at,
            lineage=self._lineage(record.digest),
        )

    def _lineage(self, digest: str) -> Lineage | None:
        path = self._blobs.find(digest)
        if path is not None:
            return lineage_of(path)
        with self._database.read() as tables:
            return tables.bundles.lineage(digest)


def lineage_of(bundle: Path) -> Lineage | None:
    """Return what a bundle was made of; None of a file for a foreign client."""
    try:
        return open_bundle(bundle).manifest.lineage
    except BundleError:
        return None


def _interval(record: DeploymentRecord) -> tuple[datetime | None, datetime | None]:
    """Return from when to when a deployment's bundle ran; later ones may end it earlier."""
    if record.deployment.state not in _RAN:
        return None, None
    since = record.activated_at or record.ended_at
    until = record.ended_at if record.deployment.state is DeploymentState.REVERTED else None
    return since, until


def _failures(deployments: Sequence[DeploymentRecord], plan: FleetPlan) -> Iterator[str]:
    if plan.frozen:
        yield "the fleet is frozen: nothing is offered"
    for record in deployments:
        failed = record.deployment
        if failed.state in FAILED_STATES and not record.forgiven:
            why = ": ".join(part for part in (failed.reason, record.detail) if part)
            yield (
                f"{failed.model} {failed.version} {failed.state.value} there"
                f" ({why or 'no reason'}); it is"
                f" not offered again without `edgekit device retry {failed.device_id}`"
            )


def _models(device: DeviceRecord, plan: FleetPlan) -> list[str]:
    return sorted({*plan.models_for(device), *device.running, *device.pins})


def _model(
    device: DeviceRecord, model: str, deployments: Sequence[DeploymentRecord], plan: FleetPlan
) -> Iterator[tuple[bool, str]]:
    history = history_of(device, model, deployments, plan)
    goal = goal_of(history, device, model, plan)
    if goal.alert:
        yield False, f"{model}: {goal.alert}"
    if model in device.pins:
        yield True, f"{model}: a person installs {device.pins[model]} there; no rollout applies"
    for record in plan.rollouts_for(device, model):
        rollout = record.rollout
        if not rollout.is_terminal and plan.pick(model, rollout.version, device) is None:
            yield (
                False,
                f"{model} {rollout.version}: {_why_none(device, model, rollout.version, plan)}",
            )
    for record in plan.rollouts_for(device, model):
        rollout, stratum = record.rollout, history.strata.get(record.rollout.version)
        finished = rollout.phase is Phase.FINISHED and rollout.version != history.running
        if finished and stratum is not None and not was_tried(rollout, stratum):
            yield (
                False,
                f"{model} {rollout.version}: no device with {stratum} took part in {rollout.id};"
                " start a rollout for such devices",
            )
    open_now = [d for d in deployments if d.is_open and d.deployment.model == model]
    for one in open_now:
        waits = " and waits for confirmation" if one.awaiting else ""
        offered = one.deployment
        yield True, f"{model}: {offered.version} is {offered.state.value}{waits}"
    if goal.version is None and not open_now:
        yield (
            True,
            f"{model}: runs {history.running or 'nothing known'}, nothing else is meant for it",
        )


def _why_none(device: DeviceRecord, model: str, version: str, plan: FleetPlan) -> str:
    profile = device.profile or foreign_profile(device)
    release = plan.releases.get((model, version))
    if profile is None or release is None:
        return "nobody knows what the device can run"
    return "; ".join(sorted({mismatch(v.requires, profile) for v in release.variants}))
