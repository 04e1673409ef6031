"""What one device should run: the newest release that it may have, or what it has.

Rules, in this order:

- What a person installs on one device stays there, whatever rollouts say.
- What a device runs because of a rollout that was rolled back or aborted, or what was revoked, has
  to go: it returns to the newest release that it committed before.
- Else an experiment holds it in its arm.
- Else the newest rollout that includes it decides. A rollout that waits (held or paused) keeps
  those who have it already and offers it to nobody else.
- A release that is withdrawn, revoked, or failed on this very device is never offered to it.
- Nothing left: it keeps running what it runs, and somebody is told when that is not good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from fleet_server.domain.deployment import DeploymentKind
from fleet_server.domain.evidence import Stratum
from fleet_server.domain.experiment import Experiment
from fleet_server.domain.policy import Shadow
from fleet_server.domain.reach import includes, shadow_at
from fleet_server.domain.rollout import UNDONE_PHASES, Phase, Rollout


class ReleaseState(StrEnum):
    """What may be done with a release. Stored values are never renamed."""

    LISTED = "listed"
    WITHDRAWN = "withdrawn"
    """Not offered any more; who runs it keeps it."""
    REVOKED = "revoked"
    """Replaced at the next contact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceHistory:
    """What is known of one device and one model.

    Attributes:
        device_id: The device.
        running: Version that it reports; None when it runs none or an unknown digest.
        running_from: Id of the rollout that brought `running`; None when none did.
        installing: Version of an offer that has not ended; None when there is none.
        committed: Versions that it committed, oldest first; repeats allowed.
        failed: Versions that it rejected, reverted or failed to install, without a retry.
        shadowed: Ids of rollouts whose release it has tried without letting it answer.
        pinned: Version that a person installs there; None lets rollouts decide.
        labels: Its labels.
        strata: Version to the variant, and class of profile, that the device would get of it;
            of the versions that open rollouts bring. A version that is missing does not fit.
    """

    device_id: str
    running: str | None = None
    running_from: str | None = None
    installing: str | None = None
    committed: tuple[str, ...] = ()
    failed: frozenset[str] = frozenset()
    shadowed: frozenset[str] = frozenset()
    pinned: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    strata: Mapping[str, Stratum] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a device should run.

    Attributes:
        version: The release to offer; None: keep running what it runs, offer nothing.
        kind: Whether the offer is a way forward or a way back.
        rollout_id: The rollout that asks for it; of a way back, the one that is undone, or empty
            when the release was revoked.
        alert: What somebody should know; empty when all is well.
    """

    version: str | None = None
    kind: DeploymentKind = DeploymentKind.ROLLOUT
    rollout_id: str = ""
    shadow: Shadow | None = None
    alert: str = ""


def find_goal(
    device: DeviceHistory,
    rollouts: Sequence[Rollout],
    releases: Mapping[str, ReleaseState],
    experiments: Sequence[Experiment] = (),
) -> Goal:
    """Return what the device should run of one model.

    Args:
        device: What it runs, ran and refused.
        rollouts: All rollouts of the model that match the device, in any order.
        releases: State of each version that exists; a version not in it is not offered.
        experiments: Those of the model that run and match the device.
    """
    if device.pinned is not None:
        return _pinned(device, device.pinned, releases)
    newest_first = sorted(rollouts, key=lambda r: (r.created_at, r.id), reverse=True)
    undone = _undone_by(device, newest_first)
    if undone is not None:
        return _way_back(device, newest_first, releases, undone=undone)
    if device.running is not None and releases.get(device.running) is ReleaseState.REVOKED:
        ahead = _way_forward(device, newest_first, releases)
        return ahead if ahead.version else _way_back(device, newest_first, releases, undone=None)
    held = _held_by(device, experiments, releases)
    return held if held is not None else _way_forward(device, newest_first, releases)


def _held_by(
    device: DeviceHistory, experiments: Sequence[Experiment], releases: Mapping[str, ReleaseState]
) -> Goal | None:
    """Return what a device's arm of an experiment asks for; None when it is in none that can be."""
    for experiment in experiments:
        arm = experiment.arm_of(device.device_id) if experiment.is_running else None
        if arm is None:
            continue
        if arm.version == device.running and releases.get(arm.version) in _MAY_STAY:
            return Goal()
        if _may_be_offered(arm.version, device, releases):
            return Goal(version=arm.version, rollout_id=experiment.id)
    return None


def _pinned(device: DeviceHistory, version: str, releases: Mapping[str, ReleaseState]) -> Goal:
    if device.running == version:
        return Goal()
    if _may_be_offered(version, device, releases):
        return Goal(version=version)
    return Goal(alert=f"{version} is to be installed there, but failed or is not listed")


def _undone_by(device: DeviceHistory, newest_first: Sequence[Rollout]) -> Rollout | None:
    """Return the rollout that brought what the device runs, if it was undone."""
    if device.running is None:
        return None
    of_it = [r for r in newest_first if r.version == device.running]
    brought = [r for r in of_it if r.id == device.running_from]
    source = next(iter(brought or of_it), None)
    return source if source is not None and source.phase in UNDONE_PHASES else None


def _way_forward(
    device: DeviceHistory, newest_first: Sequence[Rollout], releases: Mapping[str, ReleaseState]
) -> Goal:
    for rollout in newest_first:
        if not _asks(rollout, device):
            continue
        if rollout.version == device.running and releases.get(rollout.version) in _MAY_STAY:
            return Goal()
        if _may_be_offered(rollout.version, device, releases):
            shadow = shadow_at(rollout, device.strata.get(rollout.version))
            return Goal(version=rollout.version, rollout_id=rollout.id, shadow=shadow)
    return Goal()


_MAY_STAY = (ReleaseState.LISTED, ReleaseState.WITHDRAWN)


def _asks(rollout: Rollout, device: DeviceHistory) -> bool:
    """Say whether the rollout wants its release on the device."""
    stratum = device.strata.get(rollout.version)
    if rollout.id in device.shadowed and shadow_at(rollout, stratum) is not None:
        return False
    match rollout.phase:
        case Phase.RUNNING:
            return includes(rollout, device.device_id, stratum, device.labels)
        case Phase.FINISHED:
            has_it = rollout.version == device.running
            return has_it or includes(rollout, device.device_id, stratum, device.labels)
        case Phase.HELD | Phase.PAUSED:
            has_it = rollout.version in {device.running, device.installing}
            return has_it and includes(rollout, device.device_id, stratum, device.labels)
        case Phase.SCHEDULED | Phase.ROLLED_BACK | Phase.ABORTED:
            return False


def _way_back(
    device: DeviceHistory,
    newest_first: Sequence[Rollout],
    releases: Mapping[str, ReleaseState],
    *,
    undone: Rollout | None,
) -> Goal:
    for version in reversed(device.committed):
        good = version != device.running and not _was_undone(version, newest_first)
        if good and _may_be_offered(version, device, releases):
            rollout_id = undone.id if undone else ""
            return Goal(version=version, kind=DeploymentKind.ROLLBACK, rollout_id=rollout_id)
    why = f"rollout {undone.id} was undone" if undone else "it was revoked"
    return Goal(alert=f"{device.running} should go ({why}), but there is nothing to go back to")


def _was_undone(version: str, newest_first: Sequence[Rollout]) -> bool:
    latest = next((r for r in newest_first if r.version == version), None)
    return latest is not None and latest.phase in UNDONE_PHASES


def _may_be_offered(
    version: str, device: DeviceHistory, releases: Mapping[str, ReleaseState]
) -> bool:
    return releases.get(version) is ReleaseState.LISTED and version not in device.failed
