"""Tables of the whole fleet: the number of its last change, the changes, its switches."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from fleet_server.store.columns import UtcDateTime
from fleet_server.store.dialects import BIG
from fleet_server.store.schema.base import metadata

fleet = Table(
    "fleet",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", BIG, nullable=False),
)

changes = Table(
    "changes",
    metadata,
    Column("version", BIG, primary_key=True, autoincrement=False),
    Column("device", String(256)),
    Index("changes_by_device", "device", "version"),
)

flags = Table(
    "flags",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    Column("by", String(128), nullable=False),
    Column("at", UtcDateTime, nullable=False),
)
