"""What is stored, as frozen values. Where a rule needs them, they hold the domain's own types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from edgekit.bench.report import LatencyReport
from edgekit.device import DeviceProfile, Requirements
from edgekit.jobs import BenchmarkJob
from edgekit.shadow import ShadowOrder, ShadowResult
from edgekit.telemetry import Window
from fleet_server.domain.deployment import ENDED_STATES, Deployment
from fleet_server.domain.goal import ReleaseState
from fleet_server.domain.rollout import Rollout
from fleet_server.domain.selector import EVERYTHING, Selector


class DeviceState(StrEnum):
    """Whether a device may speak, and be offered something. Stored values are never renamed."""

    PENDING = "pending"
    """It enrolled and waits for a person to accept it: offered nothing."""
    ACTIVE = "active"
    QUARANTINED = "quarantined"
    """Something is wrong with it: it reports, is offered nothing and is no evidence."""
    REVOKED = "revoked"
    """Its token is worth nothing any more; its history stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoConfirm:
    """Somebody confirmed all that a device will be offered.

    Attributes:
        initiator: Who said so, in the device's words.
        remark: Why.
        activated_at: UTC.
    """

    initiator: str = ""
    remark: str = ""
    activated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRecord:
    """A device that enrolled.

    Attributes:
        id: Its name.
        token_sha256: Digest of its token.
        enrolled_by: Digest of the enrolment token that it used.
        enrolled_at: UTC.
        last_seen_at: UTC, of its last poll, a second or two late; None before the first.
        labels: Pairs that operators set.
        attributes: Pairs that it reports.
        profile: What it can run.
        running: Model to digest of its last poll.
        speaks_running: It sent the header EdgeKit-Running at least once, so it can confirm.
        attributes_wanted: The next poll asks for its attributes.
        state: Whether it may speak, and be offered something.
        alarm: Why it is quarantined or revoked; empty when all is well.
        next_token_sha256: Digest of the token that replaces the present one at its first use.
        gateway: It is known by a gateway's token, which others share.
        auto_confirm: Present when offers need no confirmation of their own.
        boots: Boots that it reported, oldest first: who returns to an old one is another machine.
        pins: Model to the version that a person installs there; no rollout of it applies.
    """

    id: str
    token_sha256: str
    enrolled_by: str
    enrolled_at: datetime
    last_seen_at: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    profile: DeviceProfile | None = None
    running: Mapping[str, str] = field(default_factory=dict)
    speaks_running: bool = False
    attributes_wanted: bool = True
    state: DeviceState = DeviceState.ACTIVE
    alarm: str = ""
    next_token_sha256: str = ""
    gateway: bool = False
    auto_confirm: AutoConfirm | None = None
    boots: tuple[str, ...] = ()
    pins: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentRecord:
    """A token with which devices may become known.

    Attributes:
        token_sha256: Its digest.
        uses_left: How many devices may still use it.
        expires_at: UTC.
        labels: What each device that uses it gets.
        accept: False lets devices in only after a person accepted them.
        device_ids: Ids that may use it; empty for any. A device of such an id that is known
            already may enrol again: its hardware was replaced.
    """

    token_sha256: str
    uses_left: int
    expires_at: datetime
    labels: Mapping[str, str]
    accept: bool = True
    device_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantRecord:
    """One published bundle.

    Attributes:
        variant: Name of the variant.
        digest: SHA-256 of the bundle.
        sha1: For device clients that know nothing better.
        md5: The same.
        size: Bytes.
        target: Path in trust metadata.
        requires: What a device needs to run it.
        file: Name of the file when it is no bundle but made for a foreign client, such as
            "update.swu"; empty for a bundle.
    """

    variant: str
    digest: str
    sha1: str
    md5: str
    size: int
    target: str
    requires: Requirements
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRecord:
    """A published release: everything but `state` never changes."""

    model: str
    version: str
    state: ReleaseState
    published_at: datetime
    variants: tuple[VariantRecord, ...]

    def variant(self, name: str) -> VariantRecord | None:
        """Return a variant by name."""
        return next((v for v in self.variants if v.variant == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentRecord:
    """A deployment with what the device protocol and people need besides.

    Attributes:
        deployment: The domain's value.
        digest: SHA-256 of the bundle offered.
        detail: The device's last words about it, one line.
        activated_at: UTC, when it said that it runs on trial; None if never.
        ended_at: UTC; None while it goes on.
        retrieved: The device fetched the offer.
        cancelling: It was taken back after the device had fetched it and has not said so yet.
        forgiven: A person asked for a retry: it no longer counts as failed here.
        awaiting: It is shown for confirmation; nothing is downloaded before somebody confirms.
        shadow: The device shall only try it so, and not activate it; None to activate it.
        found: What the device found that way.
    """

    deployment: Deployment
    digest: str
    detail: str = ""
    activated_at: datetime | None = None
    ended_at: datetime | None = None
    retrieved: bool = False
    cancelling: bool = False
    forgiven: bool = False
    awaiting: bool = False
    shadow: ShadowOrder | None = None
    found: ShadowResult | None = None

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self.deployment.state not in ENDED_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackRecord:
    """What a device said about an action, kept for `actionHistory`.

    Attributes:
        at: UTC, when it came.
        execution: The protocol's word.
        messages: The device's words, in its order.
    """

    at: datetime
    execution: str
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagRecord:
    """One switch of the whole fleet, and who turned it."""

    name: str
    value: str
    by: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRecord:
    """A rollout and which devices it is for.

    Attributes:
        rollout: The domain's value.
        selector: Which devices it is for.
        ended_at: UTC; None while it goes on.
    """

    rollout: Rollout
    selector: Selector = EVERYTHING
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HappeningRecord:
    """Something that happened to a rollout, ready to be read by people."""

    at: datetime
    kind: str
    stage: int
    text: str
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRecord:
    """A window on the server's clock.

    Attributes:
        device_id: Who sent it.
        spool_id: Spool that numbered it.
        window: As it was sent.
        received_at: UTC.
        ended_at: UTC by the server's clock; None when it is of another boot than the batch.
    """

    device_id: str
    spool_id: str
    window: Window
    received_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowTotals:
    """Windows of one device, model, digest and spool, added up."""

    model: str
    digest: str
    spool_id: str
    windows: int
    first_seq: int
    last_seq: int
    inferences: int
    errors: int
    latencies: int
    sum_log_latency: float
    first_ended_at: datetime | None
    last_ended_at: datetime | None


class BenchmarkState(StrEnum):
    """Where a benchmark job stands. Stored values are never renamed."""

    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkRecord:
    """One device asked to measure one bundle.

    Attributes:
        id: Number of the job; 0 before it is stored.
        device_id: The device.
        model: Name of the model.
        version: Release that the bundle is of.
        variant: Variant that the bundle is.
        job: What the device is told; its id is that of the record.
        state: Where it stands.
        asked_at: UTC.
        ended_at: UTC; None while it waits.
        reason: Why it was refused; empty otherwise.
        detail: The same for people.
        report: What was measured.
    """

    id: int = 0
    device_id: str
    model: str
    version: str
    variant: str
    job: BenchmarkJob
    state: BenchmarkState = BenchmarkState.WAITING
    asked_at: datetime
    ended_at: datetime | None = None
    reason: str = ""
    detail: str = ""
    report: LatencyReport | None = None
