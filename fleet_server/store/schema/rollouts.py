"""Tables of rollouts, and of what each device did for them and said."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    text,
)

from edgekit.shadow import ShadowOrder, ShadowResult
from fleet_server.domain.rollout import Rollout
from fleet_server.store.columns import Coded, SelectorText, UtcDateTime
from fleet_server.store.dialects import BIG
from fleet_server.store.schema.base import metadata

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", String(256), primary_key=True),
    Column("model", String(64), nullable=False),
    Column("version", String(128), nullable=False),
    Column("phase", String(16), nullable=False),
    Column("open", Boolean, nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("selector", SelectorText, nullable=False),
    Column("body", Coded(Rollout), nullable=False),
)

happenings = Table(
    "happenings",
    metadata,
    Column("id", BIG, primary_key=True),
    Column("rollout", ForeignKey("rollouts.id"), nullable=False, index=True),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("stage", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("body", Coded(dict[str, Any]), nullable=False),
)

deployments = Table(
    "deployments",
    metadata,
    Column("action", BIG, primary_key=True),
    Column("device", ForeignKey("devices.id"), nullable=False),
    Column("rollout", String(256), nullable=False),
    Column("model", String(64), nullable=False),
    Column("version", String(128), nullable=False),
    Column("variant", String(128), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("open", Boolean, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("offered_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("activated_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("retrieved", Boolean, nullable=False),
    Column("cancelling", Boolean, nullable=False),
    Column("forgiven", Boolean, nullable=False),
    Column("awaiting", Boolean, nullable=False),
    Column("shadow", Coded(ShadowOrder)),
    Column("found", Coded(ShadowResult)),
    Index("deployments_of_device", "device", "action"),
    Index("deployments_of_rollout", "rollout", "state"),
    Index(
        "one_open_deployment_per_device",
        "device",
        unique=True,
        sqlite_where=text("open"),
        postgresql_where=text("open"),
    ),
    sqlite_autoincrement=True,
)

feedbacks = Table(
    "feedbacks",
    metadata,
    Column("id", BIG, primary_key=True),
    Column("action", ForeignKey("deployments.action"), nullable=False, index=True),
    Column("at", UtcDateTime, nullable=False),
    Column("execution", String(16), nullable=False),
    Column("messages", Coded(tuple[str, ...]), nullable=False),
)
