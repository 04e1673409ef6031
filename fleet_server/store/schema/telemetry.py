"""Tables of windows of devices, and of days that old windows became."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    String,
    Table,
    Text,
)

from fleet_server.store.columns import UtcDateTime
from fleet_server.store.dialects import BIG
from fleet_server.store.schema.base import metadata

windows = Table(
    "windows",
    metadata,
    Column("device", ForeignKey("devices.id"), primary_key=True),
    Column("spool_id", String(64), primary_key=True),
    Column("seq", BIG, primary_key=True, autoincrement=False),
    Column("model", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("duration_s", Float, nullable=False),
    Column("state", String(16), nullable=False),
    Column("inferences", BIG, nullable=False),
    Column("errors", BIG, nullable=False),
    Column("latencies", BIG, nullable=False),
    Column("sum_log_latency", Float, nullable=False),
    Column("sum_sq_log_latency", Float, nullable=False),
    Column("rss_mb", Float, nullable=False),
    Column("log_p95", Float),
    Column("body", Text, nullable=False),
    Index("windows_of_device", "device", "model", "ended_at"),
    Index("windows_by_time", "model", "ended_at"),
)

window_days = Table(
    "window_days",
    metadata,
    Column("id", BIG, primary_key=True),
    Column("day", String(10), nullable=False, index=True),
    Column("device", ForeignKey("devices.id"), nullable=False, index=True),
    Column("model", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("windows", BIG, nullable=False),
    Column("inferences", BIG, nullable=False),
    Column("errors", BIG, nullable=False),
    Column("latencies", BIG, nullable=False),
    Column("sum_log_latency", Float, nullable=False),
    Column("sum_sq_log_latency", Float, nullable=False),
    Column("rss_mb", Float, nullable=False),
)
