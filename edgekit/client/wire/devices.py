"""Wire types of single devices: what they run, ran and sent, and what is pinned there."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekit.device import DeviceProfile
from edgekit.manifest import Lineage


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
class Pin:
    """PUT /devices/{id}/pins/{model}: install just this release there."""

    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RanView:
    """GET /devices/{id}/running: what a device ran at a time, so that it can be reproduced.

    Attributes:
        model: Name of the model.
        version: Its release.
        variant: The variant.
        digest: SHA-256 of the bundle.
        since: When the device began to run it, or, of a foreign client, said so.
        on_trial: It was on probation at that time.
        lineage: What the bundle was made of; None when the bundle is gone or is none.
    """

    model: str
    version: str
    variant: str
    digest: str
    since: str
    on_trial: bool = False
    lineage: Lineage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """GET /devices/{id}/diagnosis: why a device runs what it runs, one finding a line.

    Attributes:
        healthy: Nothing needs anybody's attention.
        findings: What was found, the most important first.
    """

    healthy: bool
    findings: tuple[str, ...]
