"""Experiments in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from fleet_server.services.records.experiments import ExperimentRecord
from fleet_server.store.dialects import insert_or_update
from fleet_server.store.schema import experiments


class SqlExperiments:
    """Experiments within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, experiment_id: str) -> ExperimentRecord | None:
        """Return an experiment by id."""
        query = select(experiments).where(experiments.c.id == experiment_id)
        row = self._connection.execute(query).first()
        return None if row is None else _record(row)

    def put(self, record: ExperimentRecord) -> None:
        """Add or replace an experiment."""
        experiment = record.experiment
        row = {
            "id": experiment.id,
            "model": experiment.model,
            "created_at": experiment.created_at,
            "selector": record.selector,
            "rollout": record.rollout,
            "body": experiment,
        }
        insert_or_update(self._connection, experiments, row)

    def all(self) -> Sequence[ExperimentRecord]:
        """Return every experiment, oldest first."""
        query = select(experiments).order_by(experiments.c.created_at, experiments.c.id)
        return [_record(row) for row in self._connection.execute(query)]


def _record(row: Row[Any]) -> ExperimentRecord:
    return ExperimentRecord(experiment=row.body, selector=row.selector, rollout=row.rollout)
