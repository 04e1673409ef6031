"""Releases and rollouts as check-in and gates need them: read once, used until one changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgekit.device import DeviceProfile, pick_variant
from edgekit.shadow import FEATURE as SHADOW
from fleet_server.domain.deployment import FAILED_STATES, DeploymentKind, DeploymentState
from fleet_server.domain.evidence import Stratum
from fleet_server.domain.experiment import Experiment
from fleet_server.domain.goal import DeviceHistory, Goal, ReleaseState, find_goal
from fleet_server.domain.rollout import Rollout
from fleet_server.services.freeze import is_frozen
from fleet_server.services.ports.database import Tables
from fleet_server.services.records.deployments import DeploymentRecord
from fleet_server.services.records.devices import DeviceRecord
from fleet_server.services.records.experiments import ExperimentRecord
from fleet_server.services.records.releases import ReleaseRecord, VariantRecord
from fleet_server.services.records.rollouts import RolloutRecord

KEPT_STATES = frozenset(
    {DeploymentState.COMMITTED, DeploymentState.UNEXERCISED, DeploymentState.REPORTED}
)
"""The device stayed on what it was offered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """What is to be had, and who shall have it.

    Attributes:
        releases: By model and version.
        rollouts: All, oldest first.
        by_digest: Digest of each bundle to the release and variant that it is.
        frozen: Nothing is offered to anybody.
        experiments: All, oldest first.
    """

    releases: Mapping[tuple[str, str], ReleaseRecord]
    rollouts: tuple[RolloutRecord, ...]
    by_digest: Mapping[str, tuple[ReleaseRecord, VariantRecord]]
    frozen: bool = False
    experiments: tuple[ExperimentRecord, ...] = ()

    def experiments_for(self, device: DeviceRecord, model: str = "") -> list[Experiment]:
        """Return the experiments that run and whose selector matches, of one model or ("") all."""
        return [
            record.experiment
            for record in self.experiments
            if record.experiment.is_running
            and model in {"", record.experiment.model}
            and record.selector.matches(device.labels)
        ]

    def models_for(self, device: DeviceRecord) -> list[str]:
        """Return the models that a rollout would bring to the device, sorted."""
        brought = {r.rollout.model for r in self.rollouts_for(device)}
        held = {e.model for e in self.experiments_for(device)}
        return sorted(brought | held | set(device.pins))

    def rollouts_for(self, device: DeviceRecord, model: str = "") -> list[RolloutRecord]:
        """Return the rollouts whose selector matches the device, of one model or ("") of all."""
        return [
            record
            for record in self.rollouts
            if model in {"", record.rollout.model} and record.selector.matches(device.labels)
        ]

    def rollout(self, rollout_id: str) -> Rollout | None:
        """Return a rollout by id."""
        return next((r.rollout for r in self.rollouts if r.rollout.id == rollout_id), None)

    def states(self, model: str) -> dict[str, ReleaseState]:
        """Return the state of each version of a model."""
        return {v: release.state for (m, v), release in self.releases.items() if m == model}

    def version_of(self, digest: str) -> str | None:
        """Return the version that a bundle belongs to."""
        known = self.by_digest.get(digest)
        return known[0].version if known else None

    def pick(self, model: str, version: str, device: DeviceRecord) -> VariantRecord | None:
        """Return the variant of a release that fits the device."""
        release = self.releases.get((model, version))
        profile = device.profile or foreign_profile(device)
        if release is None or profile is None:
            return None
        return pick_variant(release.variants, profile)


def foreign_profile(device: DeviceRecord) -> DeviceProfile | None:
    """Return what a device runs that cannot say it: the update client that its label names."""
    client = device.labels.get("client")
    if not client:
        return None
    return DeviceProfile(runtimes={client: "0"}, arch=device.labels.get("arch", ""))


def can_shadow(device: DeviceRecord) -> bool:
    """Say whether the device's agent can run a candidate that answers nobody."""
    return device.profile is not None and SHADOW in device.profile.features


class PlanCache:
    """The latest plan; one for all threads."""

    def __init__(self) -> None:
        self._held: tuple[int, FleetPlan] | None = None

    def get(self, tables: Tables) -> FleetPlan:
        """Return the plan as this transaction sees it."""
        version, held = tables.changes.last_for_all(), self._held
        if held is not None and held[0] == version:
            return held[1]
        plan = make_plan(
            tables.releases.all(),
            tables.rollouts.all(),
            frozen=is_frozen(tables),
            experiments=tables.experiments.all(),
        )
        self._held = (version, plan)
        return plan


def make_plan(
    releases: Iterable[ReleaseRecord],
    rollouts: Sequence[RolloutRecord],
    *,
    frozen: bool = False,
    experiments: Sequence[ExperimentRecord] = (),
) -> FleetPlan:
    """Arrange releases and rollouts."""
    listed = list(releases)
    return FleetPlan(
        releases={(r.model, r.version): r for r in listed},
        rollouts=tuple(rollouts),
        by_digest={v.digest: (r, v) for r in listed for v in r.variants},
        frozen=frozen,
        experiments=tuple(experiments),
    )


def goal_of(history: DeviceHistory, device: DeviceRecord, model: str, plan: FleetPlan) -> Goal:
    """Return what a device should run of a model."""
    return find_goal(
        history,
        rollouts_of(plan.rollouts_for(device, model)),
        plan.states(model),
        plan.experiments_for(device, model),
    )


def history_of(
    device: DeviceRecord, model: str, deployments: Sequence[DeploymentRecord], plan: FleetPlan
) -> DeviceHistory:
    """Return what the domain wants to know of one device and one model.

    Args:
        device: The device.
        model: The model.
        deployments: All of the device, oldest first.
        plan: Tells versions from digests.
    """
    mine = [d for d in deployments if d.deployment.model == model]
    kept = [d.deployment for d in mine if d.deployment.state in KEPT_STATES]
    running = plan.version_of(device.running.get(model, ""))
    if not device.speaks_running and kept:
        running = kept[-1].version
    brought = [
        d.rollout_id for d in kept if d.version == running and d.kind is DeploymentKind.ROLLOUT
    ]
    installing = [d.deployment.version for d in mine if d.is_open]
    return DeviceHistory(
        device_id=device.id,
        running=running,
        running_from=brought[-1] if brought else None,
        installing=installing[-1] if installing else None,
        committed=tuple(d.version for d in kept),
        failed=frozenset(
            d.deployment.version
            for d in mine
            if d.deployment.state in FAILED_STATES and not d.forgiven
        ),
        shadowed=frozenset(
            d.deployment.rollout_id for d in mine if d.deployment.state is DeploymentState.SHADOWED
        ),
        pinned=device.pins.get(model),
        labels=device.labels,
        strata=_Strata(device, model, plan),
    )


def stratum_of(device: DeviceRecord, variant: str) -> Stratum:
    """Return the variant and class of profile by which a device is compared."""
    return Stratum(variant=variant, profile_class=device.profile.arch if device.profile else "")


class _Strata(Mapping[str, Stratum]):
    """Version to stratum of one device, worked out when it is asked for: few versions are."""

    def __init__(self, device: DeviceRecord, model: str, plan: FleetPlan) -> None:
        self._device, self._model, self._plan = device, model, plan

    def __getitem__(self, version: str) -> Stratum:
        variant = self._plan.pick(self._model, version, self._device)
        if variant is None:
            raise KeyError(version)
        return stratum_of(self._device, variant.variant)

    def __iter__(self) -> Iterator[str]:
        versions = {r.rollout.version for r in self._plan.rollouts_for(self._device, self._model)}
        return (version for version in sorted(versions) if self.get(version) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def rollouts_of(records: Iterable[RolloutRecord]) -> list[Rollout]:
    """Return the domain's values."""
    return [record.rollout for record in records]
