"""Table of benchmark jobs."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from edgekit.bench.report import LatencyReport
from edgekit.jobs import BenchmarkJob
from fleet_server.services.records.benchmarks import BenchmarkState
from fleet_server.store.columns import Coded, UtcDateTime, Word
from fleet_server.store.schema.base import metadata

benchmarks = Table(
    "benchmarks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("device", ForeignKey("devices.id"), nullable=False),
    Column("model", String(64), nullable=False),
    Column("version", String(128), nullable=False),
    Column("variant", String(128), nullable=False),
    Column("digest", String(64), nullable=False, index=True),
    Column("job", Coded(BenchmarkJob), nullable=False),
    Column("state", Word(BenchmarkState), nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("reason", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("report", Coded(LatencyReport)),
    Index("benchmarks_of_device", "device", "state", "id"),
    sqlite_autoincrement=True,
)
