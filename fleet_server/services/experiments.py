"""A/B experiments: start, read out, stop, promote the winner. Load -> decide -> save."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from edgekit.client.wire.experiments import (
    ArmView,
    EffectView,
    ExperimentView,
    NewExperiment,
)
from edgekit.client.wire.rollouts import NewRollout
from edgekit.errors import ConflictError
from fleet_server.domain.assignment import share_of
from fleet_server.domain.evidence import DeviceEvidence, Neighbour, Role, Stratum, Summary
from fleet_server.domain.experiment import (
    Arm,
    Effect,
    Experiment,
    ExperimentPhase,
    check_experiment,
    read_out,
)
from fleet_server.domain.goal import ReleaseState
from fleet_server.domain.rollout import UNDONE_PHASES
from fleet_server.domain.selector import intersect, parse_selector
from fleet_server.domain.statistics import wilson
from fleet_server.services.errors import NotFoundError
from fleet_server.services.fleet_plan import FleetPlan, PlanCache
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.records.devices import DeviceRecord, DeviceState
from fleet_server.services.records.experiments import ExperimentRecord
from fleet_server.services.records.field import Labelled
from fleet_server.services.rollouts import begin_rollout
from fleet_server.services.sampling import EvidenceTimes

logger = logging.getLogger(__name__)

MAX_DEVICES_AN_ARM = 1000
ALPHA = 0.025


class ExperimentService:
    """Starts, reads and ends experiments."""

    def __init__(self, database: Database, plans: PlanCache, times: EvidenceTimes) -> None:
        self._database = database
        self._plans = plans
        self._times = times

    def start(self, wanted: NewExperiment, *, by: str, now: datetime) -> ExperimentView:
        """Hold releases side by side; durable on return.

        Raises:
            UsageError: The arms or the selector cannot be carried out.
            NotFoundError: There is no such release.
            ConflictError: A release is withdrawn or was rolled back, or a rollout or an
                experiment of the model may reach the same devices.
        """
        arms = tuple(Arm(version=version, share=share) for version, share in wanted.arms.items())
        check_experiment(arms, wanted.hold_s, f"experiment with {wanted.model}")
        selector = parse_selector(wanted.selector)
        with self._database.write() as tables:
            plan = self._plans.get(tables)
            for arm in arms:
                _check_release(plan, wanted.model, arm.version)
            number = sum(r.experiment.model == wanted.model for r in plan.experiments) + 1
            record = ExperimentRecord(
                experiment=Experiment(
                    id=f"{wanted.model}-ab-{number}",
                    model=wanted.model,
                    arms=arms,
                    hold_s=wanted.hold_s,
                    created_at=now,
                    created_by=by,
                ),
                selector=selector,
            )
            _refuse_overlap(record, plan)
            tables.experiments.put(record)
            tables.changes.record(None)
        logger.info("experiment started", extra={"fields": {"experiment": record.experiment.id}})
        return self.get(record.experiment.id, now=now)

    def all(self, *, now: datetime) -> list[ExperimentView]:
        """Return every experiment, oldest first, without effects."""
        with self._database.read() as tables:
            return [_view(record, (), (), now=now) for record in tables.experiments.all()]

    def get(self, experiment_id: str, *, now: datetime) -> ExperimentView:
        """Return an experiment with what it shows until now, or until it ended.

        Raises:
            NotFoundError: There is none.
        """
        with self._database.read() as tables:
            record = _existing(tables, experiment_id)
            plan = self._plans.get(tables)
            experiment = record.experiment
            until = experiment.ended_at or now
            drawn = _drawn(tables, record)
            running = {
                version: [
                    d
                    for d in devices
                    if plan.version_of(d.running.get(experiment.model, "")) == version
                ]
                for version, devices in drawn.items()
            }
            evidence = self._evidence(tables, experiment, running, until=until)
            labelled = tables.field.labelled(experiment.model, since=experiment.created_at)
        arms = [
            _arm_view(
                arm,
                devices=len(drawn[arm.version]),
                running=len(running[arm.version]),
                counted=_of_version(plan, labelled, arm.version),
            )
            for arm in experiment.arms
        ]
        return _view(record, arms, read_out(experiment, evidence), now=now)

    def stop(self, experiment_id: str, *, now: datetime) -> ExperimentView:
        """End an experiment; its devices return to what rollouts give them. Durable on return.

        Raises:
            NotFoundError: There is none.
            ConflictError: A winner was promoted.
        """
        with self._database.write() as tables:
            record = _existing(tables, experiment_id)
            if record.experiment.phase is ExperimentPhase.PROMOTED:
                raise ConflictError("its winner was promoted", where=experiment_id)
            if record.experiment.is_running:
                _end(tables, record, ExperimentPhase.STOPPED, now=now)
        return self.get(experiment_id, now=now)

    def promote(
        self, experiment_id: str, version: str, *, by: str, now: datetime
    ) -> ExperimentView:
        """End an experiment and bring one of its releases to every matching device; durable.

        Raises:
            NotFoundError: There is none, or it has no such arm.
            ConflictError: It is over, or was not held as long as it was meant to be.
        """
        with self._database.write() as tables:
            record = _existing(tables, experiment_id)
            experiment = record.experiment
            if version not in {arm.version for arm in experiment.arms}:
                raise NotFoundError(f"it has no arm {version}", where=experiment_id)
            if not experiment.is_running:
                raise ConflictError(f"it is {experiment.phase.value}", where=experiment_id)
            if not experiment.held_long_enough(now):
                raise ConflictError(
                    f"it is to be held for {experiment.hold_s:g} s",
                    where=experiment_id,
                    todo="wait, or stop it and start a rollout yourself",
                )
            _end(tables, record, ExperimentPhase.PROMOTED, winner=version, now=now)
            wanted = NewRollout(
                model=experiment.model,
                version=version,
                policy=_to_everybody(record, version),
            )
            rollout = begin_rollout(tables, self._plans.get(tables), wanted, by=by, now=now)
            ended = _existing(tables, experiment_id)
            tables.experiments.put(replace(ended, rollout=rollout.rollout.id))
        return self.get(experiment_id, now=now)

    def _evidence(
        self,
        tables: Tables,
        experiment: Experiment,
        running: Mapping[str, Sequence[DeviceRecord]],
        *,
        until: datetime,
    ) -> dict[str, list[DeviceEvidence]]:
        """Return the devices of each arm with their windows before the experiment and in it."""
        began = experiment.created_at
        ids = [device.id for devices in running.values() for device in devices]
        after = tables.telemetry.summaries(ids, experiment.model, since=began, until=until)
        earlier = began - self._times.baseline
        before = _longest(
            tables.telemetry.summaries(ids, experiment.model, since=earlier, until=began)
        )
        others = tables.telemetry.neighbours(ids, experiment.model, since=earlier, until=began)
        beside = tables.telemetry.neighbours(ids, experiment.model, since=began, until=until)
        return {
            version: [
                DeviceEvidence(
                    device_id=device.id,
                    stratum=Stratum(variant=version),
                    role=Role.CANARY,
                    before=before.get(device.id, Summary()),
                    after=after.get((device.id, device.running[experiment.model]), Summary()),
                    neighbours=tuple(
                        Neighbour(before=others[key], after=beside[key])
                        for key in sorted(others.keys() & beside.keys())
                        if key[0] == device.id
                    ),
                )
                for device in devices
            ]
            for version, devices in running.items()
        }


def _to_everybody(record: ExperimentRecord, version: str) -> dict[str, object]:
    """Return the policy that promotes a version: the devices of its own arm have it already."""
    share = sum(arm.share for arm in record.experiment.arms if arm.version == version)
    stage = {"percent": 100, "min_reporting": max(0.01, 0.5 * (1 - share / 100))}
    return {"selector": str(record.selector), "stages": [stage]}


def _longest(found: Mapping[tuple[str, str], Summary]) -> dict[str, Summary]:
    """Return, by device, what it ran longest before."""
    best: dict[str, Summary] = {}
    for (device_id, _), summary in sorted(found.items()):
        if summary.windows > best.get(device_id, Summary()).windows:
            best[device_id] = summary
    return best


def _drawn(tables: Tables, record: ExperimentRecord) -> dict[str, list[DeviceRecord]]:
    """Return the devices that drew each arm, at most MAX_DEVICES_AN_ARM of each."""
    experiment = record.experiment
    drawn: dict[str, list[DeviceRecord]] = {arm.version: [] for arm in experiment.arms}
    for device in tables.devices.page(selector=record.selector, after="", limit=None):
        arm = experiment.arm_of(device.id)
        if arm is not None and device.state is DeviceState.ACTIVE:
            drawn[arm.version].append(device)
    return {
        version: sorted(devices, key=lambda d: share_of(experiment.id, d.id))[:MAX_DEVICES_AN_ARM]
        for version, devices in drawn.items()
    }


def _existing(tables: Tables, experiment_id: str) -> ExperimentRecord:
    record = tables.experiments.get(experiment_id)
    if record is None:
        raise NotFoundError("there is no such experiment", where=experiment_id)
    return record


def _end(
    tables: Tables,
    record: ExperimentRecord,
    phase: ExperimentPhase,
    *,
    winner: str = "",
    now: datetime,
) -> None:
    ended = replace(record.experiment, phase=phase, winner=winner, ended_at=now)
    tables.experiments.put(replace(record, experiment=ended))
    tables.changes.record(None)
    fields = {"experiment": ended.id, "phase": phase.value, "winner": winner}
    logger.info("experiment ended", extra={"fields": fields})


def _check_release(plan: FleetPlan, model: str, version: str) -> None:
    release = plan.releases.get((model, version))
    if release is None:
        raise NotFoundError("there is no such release", where=f"{model} {version}")
    rollouts = [r.rollout for r in plan.rollouts if r.rollout.model == model]
    latest = [r for r in rollouts if r.version == version][-1:]
    if release.state is not ReleaseState.LISTED or any(r.phase in UNDONE_PHASES for r in latest):
        raise ConflictError("it is withdrawn, or was rolled back", where=f"{model} {version}")


def _refuse_overlap(record: ExperimentRecord, plan: FleetPlan) -> None:
    model = record.experiment.model
    busy = [
        (r.rollout.id, r.selector)
        for r in plan.rollouts
        if r.rollout.model == model and not r.rollout.is_terminal
    ]
    busy += [
        (r.experiment.id, r.selector)
        for r in plan.experiments
        if r.experiment.model == model and r.experiment.is_running
    ]
    for name, selector in busy:
        if intersect(selector, record.selector):
            raise ConflictError(
                f"{name} of the same model goes on and may reach the same devices",
                where=record.experiment.id,
                todo="wait for its end, stop it, or use another selector",
            )


def _of_version(plan: FleetPlan, labelled: Mapping[str, Labelled], version: str) -> tuple[int, int]:
    mine = [counted for d, counted in labelled.items() if plan.version_of(d) == version]
    return sum(c.right for c in mine), sum(c.labelled for c in mine)


def _arm_view(arm: Arm, *, devices: int, running: int, counted: tuple[int, int]) -> ArmView:
    view = ArmView(version=arm.version, share=arm.share, devices=devices, running=running)
    right, labelled = counted
    if not labelled:
        return view
    interval = wilson(right, labelled, alpha=ALPHA)
    return replace(
        view,
        labelled=labelled,
        accuracy=interval.share,
        low=interval.low,
        high=interval.high,
    )


def _view(
    record: ExperimentRecord,
    arms: Sequence[ArmView],
    effects: Sequence[Effect],
    *,
    now: datetime,
) -> ExperimentView:
    experiment = record.experiment
    return ExperimentView(
        id=experiment.id,
        model=experiment.model,
        phase=experiment.phase.value,
        started_at=experiment.created_at.isoformat(),
        started_by=experiment.created_by,
        ready=experiment.held_long_enough(now),
        winner=experiment.winner,
        rollout=record.rollout,
        arms=tuple(arms),
        effects=tuple(
            EffectView(
                metric=e.metric,
                version=e.version,
                sentence=e.sentence,
                effect=e.effect,
                low=e.low,
                high=e.high,
            )
            for e in effects
        ),
    )
