"""Wire types of rollouts, of what happened to them, and of their deployments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRollout:
    """POST /rollouts: start a rollout.

    Attributes:
        model: Name of the model.
        version: Release to roll out.
        policy: The rest of a rollout file as JSON: stages, gate, selector, on_fail, ...
    """

    model: str
    version: str
    policy: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckView:
    """One check of a judgement: what it saw, and what it could have seen."""

    name: str
    variant: str
    verdict: str
    sentence: str
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HappeningView:
    """One event of a rollout, with the numbers it came from.

    Attributes:
        at: When.
        kind: Such as "stage_started", "stage_judged", "promoted", "held", "rolled_back".
        stage: Index of the stage, from 0.
        text: One sentence.
        checks: Of a judgement.
    """

    at: str
    kind: str
    stage: int
    text: str
    checks: tuple[CheckView, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutView:
    """GET /rollouts/{id}.

    Attributes:
        phase: Such as "running", "held", "paused", "rolled_back", "aborted", "finished".
        stage: Index of the stage, from 0.
        stages: Number of stages.
        waits_for: "approval" while a second person has to approve the stage; else empty.
        started_by: Who started it.
        counts: Deployments by state.
        happenings: Oldest first.
    """

    id: str
    model: str
    version: str
    phase: str
    stage: int
    stages: int
    started_at: str
    ended_at: str | None = None
    waits_for: str = ""
    started_by: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    happenings: tuple[HappeningView, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentView:
    """GET /rollouts/{id}/deployments: one device within the rollout."""

    device: str
    action: int
    variant: str
    digest: str
    kind: str
    state: str
    reason: str
    detail: str
    offered_at: str
    activated_at: str | None = None
    ended_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRow:
    """POST /rollouts/plan: what a rollout would reach, per distinct profile.

    Attributes:
        variant: Variant that the profile would get; empty when nothing fits.
        reason: Why nothing fits; empty when something does.
        devices: Devices with this profile.
        runtimes: Runtimes of the profile, name to version.
        reached: Devices of this profile that each stage reaches, by stage.
    """

    variant: str
    reason: str
    devices: int
    runtimes: dict[str, str]
    reached: tuple[int, ...]
