"""Wire types of events, webhooks and alarms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edgekit.client.wire.server import FreezeView


@dataclass(frozen=True, slots=True, kw_only=True)
class EventView:
    """GET /events: something that happened, newest first; webhooks are sent the same.

    Attributes:
        id: Its number; grows with time.
        kind: What, one word.
        at: When, ISO 8601.
        text: One sentence.
        device: Device that it is about; empty for none.
        model: Model that it is about; empty for none.
        version: Release that it is about; empty for none.
        rollout: Rollout that it happened to; empty for none.
        stage: Stage of that rollout.
        by: The person who did it; empty for the server or a device.
        body: The facts.
    """

    id: int
    kind: str
    at: str
    text: str
    device: str = ""
    model: str = ""
    version: str = ""
    rollout: str = ""
    stage: int = 0
    by: str = ""
    body: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWebhook:
    """POST /webhooks: an address that is told what happens.

    Attributes:
        url: An http or https address.
        kinds: Kinds of events; empty for every one.
    """

    url: str
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSecret:
    """A webhook's secret, shown once; it signs every call."""

    id: str
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookView:
    """GET /webhooks.

    Attributes:
        failures: Failed calls in a row.
        problem: Why the last one failed; empty when it did not.
        kinds: Kinds of events that it wants; empty for every one.
        told: Number of the last event that it was told, or did not want.
    """

    id: str
    url: str
    failures: int = 0
    problem: str = ""
    kinds: tuple[str, ...] = ()
    told: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryView:
    """GET /webhooks/{id}/calls: one call.

    Attributes:
        event: Number of the event.
        at: When, ISO 8601.
        took_ms: How long it took.
        status: Of HTTP; 0 when nothing was answered.
        problem: Why it failed; empty when it did not.
    """

    event: int
    at: str
    took_ms: float
    status: int
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAgain:
    """POST /webhooks/{id}/again: call it now.

    Attributes:
        after: Number of the event behind which all is told once more; None goes on.
    """

    after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmView:
    """GET /alarms: something about a bundle on a device that is not over.

    Attributes:
        device: The device; empty for all devices with the bundle.
        kind: What raised it, such as "latency".
        since: When it was raised, ISO 8601.
        text: One sentence.
    """

    device: str
    model: str
    version: str
    digest: str
    kind: str
    since: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatus:
    """What `edgekit fleet status` says: the freeze, and alarms that are not over."""

    freeze: FreezeView
    alarms: tuple[AlarmView, ...] = ()
