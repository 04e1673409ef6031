"""What is stored of events, of those who are told, and of alarms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """Something that happened, ready to be read by people.

    Attributes:
        id: Its number; 0 before it is stored.
        at: UTC.
        kind: What; of `domain.events.EventKind` or the kind of a happening.
        text: One sentence.
        device: Id of the device that it is about; empty for none.
        model: Model that it is about; empty for none.
        version: Release that it is about; empty for none.
        rollout: Id of the rollout that it happened to; empty for none.
        stage: Stage of that rollout.
        by: The person who did it; empty for the server or a device.
        body: The facts.
    """

    id: int = 0
    at: datetime
    kind: str
    text: str
    device: str = ""
    model: str = ""
    version: str = ""
    rollout: str = ""
    stage: int = 0
    by: str = ""
    body: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRecord:
    """An address that is told what happens.

    Attributes:
        id: Random.
        url: The address.
        secret: Signs every call; needed in the clear for that.
        cursor: Number of the last event that it was told.
        failures: Failed calls in a row.
        due_at: UTC; not called before.
        problem: Why the last call failed.
        kinds: Kinds of events that it wants; empty for every one.
    """

    id: str
    url: str
    secret: str
    cursor: int
    due_at: datetime
    failures: int = 0
    problem: str = ""
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRecord:
    """One call of a webhook.

    Attributes:
        webhook: Its id.
        event: Number of the event.
        at: UTC.
        took_ms: How long it took.
        status: Of HTTP; 0 when nothing was answered.
        problem: Why it failed; empty when it did not.
    """

    webhook: str
    event: int
    at: datetime
    took_ms: float
    status: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRecord:
    """Something about a bundle on a device that somebody has to look at, until it is over.

    Attributes:
        device: Id of the device; empty for all devices with the bundle.
        digest: SHA-256 of the bundle.
        kind: What raised it, such as "latency".
        model: Name of the model.
        version: Release of the bundle.
        raised_at: UTC.
        text: One sentence.
        body: The facts.
    """

    device: str
    digest: str
    kind: str
    model: str
    version: str
    raised_at: datetime
    text: str
    body: Mapping[str, object] = field(default_factory=dict)
