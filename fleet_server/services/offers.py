"""What a device shall get next, and when an offer is taken back. Pure; stores nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fleet_server.domain.deployment import DeploymentKind, DeploymentState
from fleet_server.domain.goal import Goal
from fleet_server.services.fleet_plan import (
    KEPT_STATES,
    FleetPlan,
    can_shadow,
    goal_of,
    history_of,
)
from fleet_server.services.records.deployments import DeploymentRecord
from fleet_server.services.records.devices import DeviceRecord, DeviceState
from fleet_server.services.records.releases import VariantRecord

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A bundle that a device shall get, and why.

    Attributes:
        model: Name of the model.
        version: The release.
        variant: The variant that fits.
        goal: Why.
        confirmation: Somebody has to confirm before it is downloaded.
    """

    model: str
    version: str
    variant: VariantRecord
    goal: Goal
    confirmation: bool = False


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
