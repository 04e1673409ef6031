"""What agent and server say to each other: plain frozen dataclasses, JSON by edgekit.codec.

Devices speak hawkBit's DDI v1; what is EdgeKit's own are additional links, one request header
and one additional property of a feedback's status, all of which other clients ignore.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from edgekit.device import DeviceProfile
from edgekit.shadow import ShadowResult
from edgekit.telemetry import Window

TENANT = "DEFAULT"
RUNNING_HEADER = "EdgeKit-Running"
AGENT_HEADER = "EdgeKit-Agent"
LINK_TELEMETRY = "edgekit:telemetry"
LINK_TRUST = "edgekit:trust"
LINK_PROFILE = "edgekit:profile"
LINK_MIRROR = "edgekit:mirror"
LINK_DELTA = "edgekit:delta"
"""Of an artifact, with ":" and the SHA-256 of the bundle that the delta begins at."""
LINK_BENCHMARK = "edgekit:benchmark"
LINK_PARAMETERS = "edgekit:parameters"
LINK_DIAGNOSIS = "edgekit:diagnosis"
LINK_TOKEN = "edgekit:token"  # noqa: S105 (a relation, no secret)
META_TARGET = "edgekit:target"
META_MODEL = "edgekit:model"
META_VERSION = "edgekit:version"
META_VARIANT = "edgekit:variant"
META_KIND = "edgekit:kind"
META_SHADOW = "edgekit:shadow"
"""A ShadowOrder as JSON: the bundle is to be tried on live inputs and to answer nobody."""
MAX_BATCH_WINDOWS = 500


class Execution(StrEnum):
    """DDI: where the device is with an action."""

    CLOSED = "closed"
    PROCEEDING = "proceeding"
    CANCELED = "canceled"
    SCHEDULED = "scheduled"
    REJECTED = "rejected"
    RESUMED = "resumed"
    DOWNLOADED = "downloaded"
    DOWNLOAD = "download"


class Finished(StrEnum):
    """DDI: the result of an action."""

    SUCCESS = "success"
    FAILURE = "failure"
    NONE = "none"


class Outcome(StrEnum):
    """How a deployment ended on the device. Only a commit is a success."""

    COMMITTED = "committed"
    UNEXERCISED = "unexercised"
    REJECTED = "rejected"
    REVERTED = "reverted"
    FAILED = "failed"
    SHADOWED = "shadowed"
    """Tried on live inputs without answering; the device runs what it ran."""


class Reason(StrEnum):
    """Why a deployment did not end in a commit."""

    NONE = ""
    DOWNLOAD = "download"
    NO_ROOM = "no_room"
    UNTRUSTED = "untrusted"
    WRONG_MODEL = "wrong_model"
    DIGEST = "digest_mismatch"
    BUNDLE = "bad_bundle"
    UNSUPPORTED = "unsupported"
    GOLDEN = "golden_mismatch"
    LOAD = "load_failed"
    CRASH = "crash"
    DEADLINE = "deadline_misses"
    NAN = "nan_outputs"
    MEMORY = "memory"
    ERRORS = "inference_errors"
    INTERRUPTED = "interrupted"


class DeploymentKind(StrEnum):
    """Why the server asks a device to change."""

    UPDATE = "update"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeKitStatus:
    """EdgeKit's property of a feedback's status: the outcome as data.

    Attributes:
        state: State of the agent's update, or "" with a final feedback.
        outcome: How it ended; None while it goes on.
        reason: Why it did not end in a commit.
        digest: SHA-256 of the bundle that runs after it ended.
        shadow: What a candidate that answers nobody found so far.
    """

    state: str = ""
    outcome: Outcome | None = None
    reason: Reason = Reason.NONE
    digest: str = ""
    shadow: ShadowResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """DDI: `status.result`."""

    finished: Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """DDI: `status` of a feedback."""

    execution: Execution
    result: Result
    code: int | None = None
    details: tuple[str, ...] = ()
    edgekit: EdgeKitStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """DDI: body of POST deploymentBase/{id}/feedback."""

    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """DDI: a HAL link with an absolute address."""

    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling:
    """DDI: when to come again, "HH:mm:ss"."""

    sleep: str = "00:05:00"


@dataclass(frozen=True, slots=True, kw_only=True)
class PollConfig:
    """DDI: `config` of a poll's answer."""

    polling: Polling = field(default_factory=Polling)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerBase:
    """DDI: the answer to a poll."""

    config: PollConfig = field(default_factory=PollConfig)
    _links: dict[str, Link] = field(default_factory=dict)

    @property
    def links(self) -> dict[str, Link]:
        """Links by relation: deploymentBase, cancelAction, configData, and EdgeKit's own."""
        return self._links


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashes:
    """DDI: digests of an artifact, hex."""

    sha256: str
    sha1: str = ""
    md5: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """DDI: one file to download."""

    filename: str
    hashes: Hashes
    size: int
    _links: dict[str, Link] = field(default_factory=dict)

    @property
    def links(self) -> dict[str, Link]:
        """Links by relation: download, download-http, md5sum-http."""
        return self._links


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadatum:
    """DDI: one key and value of a chunk."""

    key: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """DDI: one software module, for EdgeKit one bundle."""

    part: str
    version: str
    name: str
    artifacts: tuple[Artifact, ...]
    metadata: tuple[Metadatum, ...] = ()

    def meta(self, key: str) -> str:
        """Return the value of a metadata key; empty when it is absent."""
        return next((m.value for m in self.metadata if m.key == key), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentBody:
    """DDI: `deployment` of a deploymentBase."""

    download: str
    update: str
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionHistory:
    """DDI: what was said about an action, newest first; sent only to those who ask for it."""

    status: str
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentBase:
    """DDI: what to install. `id` is the action's number as text."""

    id: str
    deployment: DeploymentBody
    actionHistory: ActionHistory | None = None  # noqa: N815 (the protocol's name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationBase:
    """DDI: what waits for confirmation; like a deploymentBase under another key."""

    id: str
    confirmation: DeploymentBody
    actionHistory: ActionHistory | None = None  # noqa: N815 (the protocol's name)


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryBatch:
    """Windows on their way to the server.

    Attributes:
        spool_id: Random name of the spool file that numbered the windows.
        boot_id: Boot of the device while sending.
        sent_mono_s: The device's monotonic clock while sending, seconds.
        windows: At most 500.
    """

    spool_id: str
    boot_id: str
    sent_mono_s: float
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryReceipt:
    """What the server has stored for good; the agent may forget these.

    Attributes:
        accepted: Sequence numbers stored now or before.
        refused: Sequence numbers that will never be stored.
        max_windows: How many windows the next batch may hold.
    """

    accepted: tuple[int, ...]
    refused: tuple[int, ...] = ()
    max_windows: int = MAX_BATCH_WINDOWS


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolRequest:
    """A device asks to become known.

    Attributes:
        token: Enrolment token, of limited uses and life.
        device_id: Name that the device wants, 1 to 256 of letters, digits, `.`, `_`, `-`.
        profile: What it can run.
        attributes: Pairs that the device reports about itself.
    """

    token: str
    device_id: str
    profile: DeviceProfile
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolResponse:
    """A device is known.

    Attributes:
        device_id: Its name.
        device_token: 256 random bits, shown once.
        tenant: Path segment of its DDI address.
        root: Trusted root metadata (JSON text) to pin, checked against the pinned digest.
    """

    device_id: str
    device_token: str
    tenant: str
    root: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentFile:
    """What an operator carries to a device, as JSON.

    Attributes:
        server: Address of the fleet server, such as "https://fleet.example:8443".
        token: Enrolment token; empty when it is brought in a file of its own.
        root_sha256: Digest of the root metadata that the device shall pin.
        servers: Further addresses of the same server, tried when the first does not answer.
        ca: Certificates (PEM) of a private authority, the only ones believed; empty believes
            those of the system.
    """

    server: str
    root_sha256: str
    token: str = ""
    servers: tuple[str, ...] = ()
    ca: str = ""


def running_header(running: dict[str, str]) -> str:
    """Return the value of EdgeKit-Running: `<model>=<sha256>,...`, sorted by model."""
    return ",".join(f"{model}={digest}" for model, digest in sorted(running.items()))


def parse_running(value: str) -> dict[str, str]:
    """Read the value of EdgeKit-Running; parts that are no pair are ignored."""
    pairs = (part.strip().partition("=") for part in value.split(","))
    return {model: digest for model, sep, digest in pairs if sep and model and digest}


def sleep_text(seconds: float) -> str:
    """Return a polling interval as DDI's "HH:mm:ss", at least one second, below a day."""
    whole = min(max(1, round(seconds)), 24 * 3600 - 1)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def parse_sleep(text: str, *, default_s: float = 300.0) -> float:
    """Read DDI's "HH:mm:ss" as seconds; anything else gives the default."""
    parts = text.split(":")
    if len(parts) != 3 or not all(p.isdigit() for p in parts):
        return default_s
    hours, minutes, seconds = map(int, parts)
    return float(hours * 3600 + minutes * 60 + seconds)
