"""Experiments in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Connection, Row, String, Table, select

from fleet_server.domain.experiment import Experiment
from fleet_server.services.records.experiments import ExperimentRecord
from fleet_server.store.columns import Coded, SelectorText, UtcDateTime
from fleet_server.store.dialects import insert_or_update
from fleet_server.store.schema import metadata

experiments = Table(
    "experiments",
    metadata,
    Column("id", String(256), primary_key=True),
    Column("model", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("selector", SelectorText, nullable=False),
    Column("rollout", String(256), nullable=False),
    Column("body", Coded(Experiment), nullable=False),
)


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
