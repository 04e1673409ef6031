"""What is stored of devices, and of the tokens that let them in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from edgekit import codec
from edgekit.device import DeviceProfile


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

    @property
    def kind(self) -> str:
        """Digest of all that decides which variant fits; empty when nothing is known of it."""
        if self.profile is not None:
            known = codec.encode(self.profile)
        elif "client" in self.labels:
            known = codec.encode([self.labels["client"], self.labels.get("arch", "")])
        else:
            return ""
        return hashlib.sha256(known).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """As much of an active device as a choice among many needs.

    Attributes:
        id: Its name.
        kind: Which devices can run the same.
        labels: Pairs that operators set.
        last_seen_at: UTC, of its last poll; None before the first.
    """

    id: str
    kind: str
    labels: Mapping[str, str]
    last_seen_at: datetime | None


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
