"""Table of what is set on devices, a row a version: nothing is ever replaced."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, String, Table, Text

from fleet_server.store.columns import Coded, UtcDateTime
from fleet_server.store.schema.base import metadata

device_parameters = Table(
    "device_parameters",
    metadata,
    Column("device", ForeignKey("devices.id"), primary_key=True),
    Column("model", String(64), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("origin", Integer, nullable=False),
    Column("body", Coded(dict[str, Any]), nullable=False),
    Column("by", String(128), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("state", String(16), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("detail", Text, nullable=False),
)
