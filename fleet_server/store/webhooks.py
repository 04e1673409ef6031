"""Webhooks in SQL, and the happenings that they have not been told yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy import Connection, delete, func, select

from fleet_server.services.records import HappeningRecord, WebhookRecord
from fleet_server.store import schema
from fleet_server.store.dialects import insert_or_update

_FIELDS = tuple(field.name for field in fields(WebhookRecord))


class SqlWebhooks:
    """Webhooks within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self) -> Sequence[WebhookRecord]:
        """Return every webhook, by id."""
        query = select(schema.webhooks).order_by(schema.webhooks.c.id)
        return [WebhookRecord(**row) for row in self._connection.execute(query).mappings()]

    def put(self, record: WebhookRecord) -> None:
        """Add a webhook or replace it."""
        row = {name: getattr(record, name) for name in _FIELDS}
        insert_or_update(self._connection, schema.webhooks, row)

    def drop(self, webhook_id: str) -> int:
        """Forget a webhook; returns how many there were."""
        table = schema.webhooks
        return self._connection.execute(delete(table).where(table.c.id == webhook_id)).rowcount

    def latest(self) -> int:
        """Return the number of the latest happening; 0 when there is none."""
        query = select(func.coalesce(func.max(schema.happenings.c.id), 0))
        return int(self._connection.execute(query).scalar_one())

    def after(self, cursor: int, *, limit: int) -> Sequence[tuple[int, str, HappeningRecord]]:
        """Return happenings after a number: number, rollout, and what happened, in order."""
        table = schema.happenings
        query = select(table).where(table.c.id > cursor).order_by(table.c.id).limit(limit)
        return [
            (
                row.id,
                row.rollout,
                HappeningRecord(
                    at=row.at, kind=row.kind, stage=row.stage, text=row.text, body=row.body
                ),
            )
            for row in self._connection.execute(query)
        ]
