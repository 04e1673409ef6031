"""Rollouts and their happenings in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, insert, or_, select

from fleet_server.services.records.rollouts import HappeningRecord, RolloutRecord
from fleet_server.store import schema
from fleet_server.store.dialects import insert_or_update
from fleet_server.store.schema import events


class SqlRollouts:
    """Rollouts within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, rollout_id: str) -> RolloutRecord | None:
        """Return a rollout by id."""
        query = select(schema.rollouts).where(schema.rollouts.c.id == rollout_id)
        row = self._connection.execute(query).first()
        return None if row is None else _rollout(row)

    def put(self, record: RolloutRecord) -> None:
        """Add a rollout or replace it."""
        rollout = record.rollout
        row = {
            "id": rollout.id,
            "model": rollout.model,
            "version": rollout.version,
            "phase": rollout.phase.value,
            "open": not rollout.is_terminal,
            "created_at": rollout.created_at,
            "ended_at": record.ended_at,
            "selector": record.selector,
            "body": rollout,
        }
        insert_or_update(self._connection, schema.rollouts, row)

    def all(self) -> Sequence[RolloutRecord]:
        """Return every rollout, oldest first."""
        return self.page(after="", limit=None)

    def page(self, *, after: str, limit: int | None) -> Sequence[RolloutRecord]:
        """Return rollouts behind one's id, oldest first; none if it is unknown."""
        table = schema.rollouts
        query = select(table).order_by(table.c.created_at, table.c.id).limit(limit)
        if after:
            known = table.alias()
            begun = select(known.c.created_at).where(known.c.id == after).scalar_subquery()
            later, same = table.c.created_at > begun, table.c.created_at == begun
            query = query.where(or_(later, and_(same, table.c.id > after)))
        return [_rollout(row) for row in self._connection.execute(query)]

    def open_ids(self) -> Sequence[str]:
        """Return the ids of rollouts that are not over."""
        table = schema.rollouts
        query = select(table.c.id).where(table.c.open).order_by(table.c.created_at)
        return list(self._connection.execute(query).scalars())

    def tell(self, rollout_id: str, happenings: Sequence[HappeningRecord]) -> None:
        """Add what happened, for the rollout and for those who are told."""
        rows = [
            {
                "rollout": rollout_id,
                "at": h.at,
                "kind": h.kind,
                "stage": h.stage,
                "text": h.text,
                "body": h.body,
            }
            for h in happenings
        ]
        if rows:
            self._connection.execute(insert(schema.happenings), rows)
            rollout = schema.rollouts
            query = select(rollout.c.model, rollout.c.version).where(rollout.c.id == rollout_id)
            model, version = self._connection.execute(query).one()
            beside = {"device": "", "model": model, "version": version}
            by = [str(h.body.get("by", "")) for h in happenings]
            told = [{**row, **beside, "by": who} for row, who in zip(rows, by, strict=True)]
            self._connection.execute(insert(events), told)

    def happenings(self, rollout_id: str) -> Sequence[HappeningRecord]:
        """Return what happened, oldest first."""
        table = schema.happenings
        query = select(table).where(table.c.rollout == rollout_id).order_by(table.c.id)
        return [
            HappeningRecord(at=row.at, kind=row.kind, stage=row.stage, text=row.text, body=row.body)
            for row in self._connection.execute(query)
        ]


def _rollout(row: Row[Any]) -> RolloutRecord:
    return RolloutRecord(rollout=row.body, selector=row.selector, ended_at=row.ended_at)
