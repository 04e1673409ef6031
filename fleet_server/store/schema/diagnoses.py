"""Table of diagnose bundles that devices were asked for. Holds no query."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table, Text

from fleet_server.store.columns import UtcDateTime
from fleet_server.store.dialects import BIG
from fleet_server.store.schema.base import metadata

diagnoses = Table(
    "diagnoses",
    metadata,
    Column("id", BIG, primary_key=True),
    Column("device", String(256), nullable=False),
    Column("asked_at", UtcDateTime, nullable=False, index=True),
    Column("asked_by", String(128), nullable=False),
    Column("ended_at", UtcDateTime),
    Column("problem", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("bundle", Text, nullable=False),
    Index("diagnoses_of_device", "device", "ended_at", "id"),
    sqlite_autoincrement=True,
)
"""`bundle` is base64, so that it is the same in every database and in a backup."""
