"""Tables of events, calls of webhooks and alarms. Holds no query."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Float, Index, Integer, String, Table, Text

from fleet_server.store.columns import Coded, UtcDateTime
from fleet_server.store.dialects import BIG
from fleet_server.store.schema.base import metadata

events = Table(
    "events",
    metadata,
    Column("id", BIG, primary_key=True),
    Column("at", UtcDateTime, nullable=False, index=True),
    Column("kind", String(32), nullable=False),
    Column("text", Text, nullable=False),
    Column("device", String(256), nullable=False),
    Column("model", String(64), nullable=False),
    Column("version", String(128), nullable=False),
    Column("rollout", String(256), nullable=False),
    Column("stage", Integer, nullable=False),
    Column("by", String(128), nullable=False),
    Column("body", Coded(dict[str, Any]), nullable=False),
    Index("events_of_device", "device", "id"),
    sqlite_autoincrement=True,
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", BIG, primary_key=True),
    Column("webhook", String(32), nullable=False),
    Column("event", BIG, nullable=False),
    Column("at", UtcDateTime, nullable=False, index=True),
    Column("took_ms", Float, nullable=False),
    Column("status", Integer, nullable=False),
    Column("problem", Text, nullable=False),
    Index("deliveries_of_webhook", "webhook", "id"),
)

alarms = Table(
    "alarms",
    metadata,
    Column("device", String(256), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("model", String(64), nullable=False),
    Column("version", String(128), nullable=False),
    Column("raised_at", UtcDateTime, nullable=False),
    Column("text", Text, nullable=False),
    Column("body", Coded(dict[str, Any]), nullable=False),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("url", Text, nullable=False),
    Column("secret", String(64), nullable=False),
    Column("cursor", BIG, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("problem", Text, nullable=False),
    Column("kinds", Coded(tuple[str, ...]), nullable=False),
)
