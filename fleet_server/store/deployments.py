"""Deployments in SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from fleet_server.domain.deployment import Deployment, DeploymentKind, DeploymentState
from fleet_server.services.records.deployments import DeploymentRecord, FeedbackRecord
from fleet_server.store import schema
from fleet_server.store.batches import MANY, batched


class SqlDeployments:
    """Deployments within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, record: DeploymentRecord) -> DeploymentRecord:
        """Add a deployment; returns it with its action number."""
        made = self._connection.execute(insert(schema.deployments).values(_row(record)))
        key = made.inserted_primary_key
        assert key is not None  # noqa: S101 (a single insert has one)
        return replace(record, deployment=replace(record.deployment, id=int(key[0])))

    def put(self, record: DeploymentRecord) -> None:
        """Replace a deployment."""
        table = schema.deployments
        self._connection.execute(
            update(table).where(table.c.action == record.deployment.id).values(_row(record))
        )

    def get(self, action: int) -> DeploymentRecord | None:
        """Return a deployment by action number."""
        table = schema.deployments
        row = self._connection.execute(select(table).where(table.c.action == action)).first()
        return None if row is None else _record(row)

    def of_device(self, device_id: str) -> Sequence[DeploymentRecord]:
        """Return a device's deployments, oldest first."""
        return self._list(select(schema.deployments).where(_device_column() == device_id))

    def of_devices(self, device_ids: Iterable[str]) -> Mapping[str, list[DeploymentRecord]]:
        """Return the deployments of several devices, oldest first, by device."""
        found = defaultdict[str, list[DeploymentRecord]](list)
        for some in batched(device_ids, MANY):
            for record in self._list(select(schema.deployments).where(_device_column().in_(some))):
                found[record.deployment.device_id].append(record)
        return found

    def activated_since(
        self, device_ids: Iterable[str], since: datetime, *, other_than: str
    ) -> Mapping[str, datetime]:
        """Return when devices last activated another model than this, if after a time."""
        table = schema.deployments
        latest = func.max(table.c.activated_at)
        found: dict[str, datetime] = {}
        for some in batched(device_ids, MANY):
            query = (
                select(table.c.device, latest)
                .where(table.c.device.in_(some), table.c.model != other_than)
                .where(table.c.activated_at > since)
                .group_by(table.c.device)
            )
            found |= {str(row[0]): row[1] for row in self._connection.execute(query)}
        return found

    def of_rollout(self, rollout_id: str) -> Sequence[DeploymentRecord]:
        """Return a rollout's deployments, oldest first."""
        table = schema.deployments
        return self._list(select(table).where(table.c.rollout == rollout_id))

    def offered_since(self, rollout_id: str, since: datetime) -> int:
        """Count the offers that a rollout made after a time."""
        table = schema.deployments
        query = select(func.count()).where(
            table.c.rollout == rollout_id, table.c.offered_at > since
        )
        return int(self._connection.execute(query).scalar_one())

    def counts(self, rollout_id: str) -> Mapping[str, int]:
        """Return how many deployments of a rollout are in each state; ways back are not counted."""
        table = schema.deployments
        query = (
            select(table.c.state, func.count())
            .where(table.c.rollout == rollout_id, table.c.kind == DeploymentKind.ROLLOUT.value)
            .group_by(table.c.state)
        )
        return {state: int(count) for state, count in self._connection.execute(query)}

    def heard(self, action: int, record: FeedbackRecord) -> None:
        """Keep what a device said."""
        values = {
            "action": action,
            "at": record.at,
            "execution": record.execution,
            "messages": record.messages,
        }
        self._connection.execute(insert(schema.feedbacks).values(values))

    def heard_count(self, action: int) -> int:
        """Return how often a device spoke about an action."""
        table = schema.feedbacks
        query = select(func.count()).where(table.c.action == action)
        return int(self._connection.execute(query).scalar_one())

    def said(self, action: int, *, limit: int) -> Sequence[FeedbackRecord]:
        """Return what a device said about an action, newest first."""
        table = schema.feedbacks
        query = select(table).where(table.c.action == action).order_by(table.c.id.desc())
        return [
            FeedbackRecord(at=row.at, execution=row.execution, messages=row.messages)
            for row in self._connection.execute(query.limit(limit))
        ]

    def _list(self, query: Select[Any]) -> list[DeploymentRecord]:
        ordered = query.order_by(schema.deployments.c.action)
        return [_record(row) for row in self._connection.execute(ordered)]


def _device_column() -> Any:  # noqa: ANN401 (a column of a Core table has no type)
    return schema.deployments.c.device


def _row(record: DeploymentRecord) -> dict[str, Any]:
    deployment = record.deployment
    row = {
        "device": deployment.device_id,
        "rollout": deployment.rollout_id,
        "model": deployment.model,
        "version": deployment.version,
        "variant": deployment.variant,
        "digest": record.digest,
        "kind": deployment.kind.value,
        "state": deployment.state.value,
        "open": record.is_open,
        "reason": deployment.reason[:64],
        "detail": record.detail,
        "offered_at": deployment.offered_at,
        "changed_at": deployment.changed_at,
        "activated_at": record.activated_at,
        "ended_at": record.ended_at,
        "retrieved": record.retrieved,
        "cancelling": record.cancelling,
        "forgiven": record.forgiven,
        "awaiting": record.awaiting,
        "shadow": record.shadow,
        "found": record.found,
    }
    return row if not deployment.id else {"action": deployment.id, **row}


def _record(row: Row[Any]) -> DeploymentRecord:
    return DeploymentRecord(
        deployment=Deployment(
            id=row.action,
            device_id=row.device,
            rollout_id=row.rollout,
            model=row.model,
            version=row.version,
            variant=row.variant,
            kind=DeploymentKind(row.kind),
            state=DeploymentState(row.state),
            offered_at=row.offered_at,
            changed_at=row.changed_at,
            reason=row.reason,
        ),
        digest=row.digest,
        detail=row.detail,
        activated_at=row.activated_at,
        ended_at=row.ended_at,
        retrieved=row.retrieved,
        cancelling=row.cancelling,
        forgiven=row.forgiven,
        awaiting=row.awaiting,
        shadow=row.shadow,
        found=row.found,
    )
