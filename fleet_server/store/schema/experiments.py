"""Table of A/B experiments."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    String,
    Table,
)

from fleet_server.domain.experiment import Experiment
from fleet_server.store.columns import Coded, SelectorText, UtcDateTime
from fleet_server.store.schema.base import metadata

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
