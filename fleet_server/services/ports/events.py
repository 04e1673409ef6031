"""What the use cases need of storage for events, alarms and webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from fleet_server.services.records.events import (
    AlarmRecord,
    DeliveryRecord,
    EventRecord,
    WebhookRecord,
)


class Events(Protocol):
    """A numbered list of what happened, written with what made it happen."""

    def tell(self, event: EventRecord) -> None:
        """Add an event."""
        ...

    def latest(self) -> int:
        """Return the number of the latest event; 0 when there is none."""
        ...

    def after(self, cursor: int, *, limit: int) -> Sequence[EventRecord]:
        """Return events after a number, in order."""
        ...

    def newest(self, *, before: int | None, device: str, limit: int) -> Sequence[EventRecord]:
        """Return events, newest first, of one device or ("") of all."""
        ...

    def forget_before(self, at: datetime) -> None:
        """Delete old events."""
        ...


class Webhooks(Protocol):
    """Webhooks, and what came of calling them."""

    def all(self) -> Sequence[WebhookRecord]:
        """Return every webhook."""
        ...

    def get(self, webhook_id: str) -> WebhookRecord | None:
        """Return a webhook."""
        ...

    def put(self, record: WebhookRecord) -> None:
        """Add or replace a webhook."""
        ...

    def drop(self, webhook_id: str) -> int:
        """Forget a webhook and its calls; returns how many there were."""
        ...

    def called(self, deliveries: Sequence[DeliveryRecord]) -> None:
        """Keep what came of calls."""
        ...

    def calls(self, webhook_id: str, *, limit: int) -> Sequence[DeliveryRecord]:
        """Return the calls of a webhook, newest first."""
        ...

    def forget_calls_before(self, at: datetime) -> None:
        """Delete old calls."""
        ...


class Alarms(Protocol):
    """Alarms that are not over."""

    def all(self) -> Sequence[AlarmRecord]:
        """Return every alarm, oldest first."""
        ...

    def put(self, alarm: AlarmRecord) -> None:
        """Add or replace an alarm."""
        ...

    def drop(self, alarm: AlarmRecord) -> None:
        """Forget an alarm."""
        ...
