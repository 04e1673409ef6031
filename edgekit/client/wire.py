"""Wire types of the management API under /api/v1: what people, CI and commands send and get.

Plain frozen dataclasses; the server's routes and the typed client share them. Times are ISO 8601
in UTC. Errors come as `application/problem+json` (`Problem`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edgekit.device import DeviceProfile, Requirements


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """RFC 9457: why a request was not carried out.

    Attributes:
        title: Short name of the kind of problem.
        status: HTTP status.
        detail: One clear line: what, where, what to do.
        code: Exit code of `edgekit.errors` that the command line ends with.
    """

    title: str
    status: int
    detail: str
    code: int = 21


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """GET /health, without authentication."""

    status: str
    version: str
    trust_days_left: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEnrolmentToken:
    """POST /enrolment-tokens: devices that carry the token may become known.

    Attributes:
        uses: How many devices, at least 1.
        life_s: How long, seconds.
        labels: Labels that each device enrolled by it gets.
        accept: False keeps each device waiting until a person accepts it.
        device_ids: Ids that may use it; empty for any. A device of such an id that is known
            already may enrol again, because its hardware was replaced; its history stays.
    """

    uses: int = 1
    life_s: float = 86400.0
    labels: dict[str, str] = field(default_factory=dict)
    accept: bool = True
    device_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentToken:
    """An enrolment token, shown once."""

    token: str
    uses: int
    expires_at: str
    root_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceView:
    """GET /devices/{id}: what the server knows of a device.

    Attributes:
        id: Its name.
        enrolled_at: When it became known.
        last_seen_at: Its last poll; None before the first.
        labels: Pairs that operators set.
        attributes: Pairs that the device reports.
        profile: What it can run; None for a foreign client that never said.
        running: Model to digest, as reported with its last poll.
        committed: Model to version that it last committed, as the server recorded.
        variants: Model to variant that it runs, where the digest is known.
        state: "pending", "active", "quarantined" or "revoked".
        alarm: Why it is quarantined or revoked; empty when all is well.
        pins: Model to the version that a person installs there.
    """

    id: str
    enrolled_at: str
    last_seen_at: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    profile: DeviceProfile | None = None
    running: dict[str, str] = field(default_factory=dict)
    committed: dict[str, str] = field(default_factory=dict)
    variants: dict[str, str] = field(default_factory=dict)
    state: str = "active"
    alarm: str = ""
    pins: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """GET /devices/{id}/history: one deployment, oldest first.

    Attributes:
        action: Number of the deployment.
        model: Name of the model.
        version: Version that was offered.
        variant: Variant that was offered.
        digest: SHA-256 of the bundle that was offered.
        kind: "update" or "rollback".
        state: State of the deployment, such as "committed", "rejected", "reverted".
        reason: Why it did not end in a commit.
        detail: What the device said, one line.
        offered_at: When it was first offered.
        activated_at: When the device said that it runs on trial; None if never.
        ended_at: When it ended; None while it goes on.
        rollout: The rollout that it belongs to.
    """

    action: int
    model: str
    version: str
    variant: str
    digest: str
    kind: str
    state: str
    reason: str
    detail: str
    offered_at: str
    activated_at: str | None = None
    ended_at: str | None = None
    rollout: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryTotals:
    """GET /devices/{id}/telemetry: what arrived from one device, per model, digest and spool.

    Attributes:
        model: Name of the model.
        digest: SHA-256 of the bundle that ran.
        spool_id: Spool that numbered the windows.
        windows: Windows stored.
        first_seq: Lowest sequence number stored.
        last_seq: Highest sequence number stored.
        inferences: Answers given.
        errors: Inferences without an answer.
        mean_latency_ms: Geometric mean; None without inferences.
        first_ended_at: End of the earliest window, server's clock; None for another boot.
        last_ended_at: End of the latest window, server's clock; None for another boot.
    """

    model: str
    digest: str
    spool_id: str
    windows: int
    first_seq: int
    last_seq: int
    inferences: int
    errors: int
    mean_latency_ms: float | None = None
    first_ended_at: str | None = None
    last_ended_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantView:
    """One variant of a release."""

    variant: str
    digest: str
    size: int
    target: str
    requires: Requirements


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRelease:
    """POST /releases: publish variants that lie on the server as blobs already.

    Attributes:
        model: Name of the model.
        version: Version of the release.
        targets: The model's new signed targets metadata (JSON text), which lists the bundles.
    """

    model: str
    version: str
    targets: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseView:
    """GET /releases/{model}/{version}.

    Attributes:
        state: "published", "withdrawn" or "revoked".
    """

    model: str
    version: str
    state: str
    published_at: str
    variants: tuple[VariantView, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineKeys:
    """GET /trust/online-keys: public keys that root metadata has to name for the server's roles.

    Attributes:
        keys: Role ("snapshot", "timestamp") to key in TUF's JSON form, with its `keyid`.
    """

    keys: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustMetadata:
    """PUT /trust/root and PUT /trust/targets: signed metadata as JSON text."""

    metadata: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustView:
    """GET /trust: what the server serves.

    Attributes:
        root_sha256: Digest of the newest root metadata; empty before the first.
        days_left: Role to days until its metadata expires.
        versions: Role to version of its metadata.
    """

    root_sha256: str
    days_left: dict[str, float]
    versions: dict[str, int]


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
