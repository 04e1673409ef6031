"""Webhooks and their calls in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from fleet_server.services.records.events import DeliveryRecord, WebhookRecord
from fleet_server.store import schema
from fleet_server.store.dialects import insert_or_update
from fleet_server.store.schema import deliveries

_FIELDS = tuple(field.name for field in fields(WebhookRecord))
_CALL_FIELDS = tuple(field.name for field in fields(DeliveryRecord))


class SqlWebhooks:
    """Webhooks within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> Sequence[WebhookRecord]:
        """Return every webhook, by id."""
        query = select(schema.webhooks).order_by(schema.webhooks.c.id)
        return [WebhookRecord(**row) for row in self._connection.execute(query).mappings()]

    def get(self, webhook_id: str) -> WebhookRecord | None:
        """Return a webhook."""
        query = select(schema.webhooks).where(schema.webhooks.c.id == webhook_id)
        row = self._connection.execute(query).mappings().first()
        return None if row is None else WebhookRecord(**row)

    def put(self, record: WebhookRecord) -> None:
        """Add a webhook or replace it."""
        row = {name: getattr(record, name) for name in _FIELDS}
        insert_or_update(self._connection, schema.webhooks, row)

    def drop(self, webhook_id: str) -> int:
        """Forget a webhook and its calls; returns how many there were."""
        table = schema.webhooks
        self._connection.execute(delete(deliveries).where(deliveries.c.webhook == webhook_id))
        return self._connection.execute(delete(table).where(table.c.id == webhook_id)).rowcount

    def called(self, calls: Sequence[DeliveryRecord]) -> None:
        """Keep what came of calls."""
        rows = [{name: getattr(call, name) for name in _CALL_FIELDS} for call in calls]
        if rows:
            self._connection.execute(insert(deliveries), rows)

    def calls(self, webhook_id: str, *, limit: int) -> Sequence[DeliveryRecord]:
        """Return the calls of a webhook, newest first."""
        table = deliveries
        query = select(*(table.c[name] for name in _CALL_FIELDS))
        query = query.where(table.c.webhook == webhook_id).order_by(table.c.id.desc())
        found = self._connection.execute(query.limit(limit)).mappings()
        return [DeliveryRecord(**row) for row in found]

    def forget_calls_before(self, at: datetime) -> None:
        """Delete old calls."""
        self._connection.execute(delete(deliveries).where(deliveries.c.at < at))
