"""Table of who downloads at which site now: a row a device, worthless when its time is over."""

from __future__ import annotations

from sqlalchemy import Column, String, Table

from fleet_server.store.columns import UtcDateTime
from fleet_server.store.schema.base import metadata

download_slots = Table(
    "download_slots",
    metadata,
    Column("device", String(256), primary_key=True),
    Column("site", String(256), nullable=False, index=True),
    Column("until", UtcDateTime, nullable=False),
)
