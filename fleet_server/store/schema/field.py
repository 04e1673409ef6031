"""Tables of what the field tells: drift by the hour, recorded answers, labels that came later."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, String, Table, Text

from edgekit.drift import DriftReference
from fleet_server.domain.release_drift import ReleaseHour
from fleet_server.store.columns import Coded, UtcDateTime
from fleet_server.store.schema.base import metadata

drift_hours = Table(
    "drift_hours",
    metadata,
    Column("device", ForeignKey("devices.id"), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("at", UtcDateTime, primary_key=True),
    Column("model", String(64), nullable=False),
    Column("counts", Coded(dict[str, tuple[int, ...]]), nullable=False),
    Column("drifted", Coded(tuple[str, ...]), nullable=False),
    Column("watched", Boolean, nullable=False),
    Column("told", Text, nullable=False),
    Index("drift_hours_by_time", "at", "model"),
)

drift_references = Table(
    "drift_references",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("model", String(64), nullable=False),
    Column("reference", Coded(DriftReference), nullable=False),
)

release_hours = Table(
    "release_hours",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("at", UtcDateTime, primary_key=True),
    Column("hour", Coded(ReleaseHour), nullable=False),
    Index("release_hours_by_time", "at"),
)

answers = Table(
    "answers",
    metadata,
    Column("device", ForeignKey("devices.id"), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("sample", String(128), primary_key=True),
    Column("model", String(64), nullable=False),
    Column("label", String(128), nullable=False),
    Column("at", UtcDateTime, nullable=False, index=True),
    Index("answers_by_sample", "model", "sample"),
)

labels = Table(
    "labels",
    metadata,
    Column("model", String(64), primary_key=True),
    Column("sample", String(128), primary_key=True),
    Column("label", String(128), nullable=False),
    Column("at", UtcDateTime, nullable=False),
)
