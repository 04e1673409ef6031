"""Tables of releases, their variants, and bundles that were collected."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from edgekit.device import Requirements
from edgekit.manifest import Lineage
from fleet_server.store.columns import Coded, UtcDateTime
from fleet_server.store.dialects import BIG
from fleet_server.store.schema.base import metadata

releases = Table(
    "releases",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String(64), nullable=False),
    Column("version", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("published_at", UtcDateTime, nullable=False),
    UniqueConstraint("model", "version", name="one_release_per_version"),
)

variants = Table(
    "variants",
    metadata,
    Column("release", ForeignKey("releases.id"), primary_key=True),
    Column("variant", String(128), primary_key=True),
    Column("digest", String(64), nullable=False, index=True),
    Column("sha1", String(40), nullable=False),
    Column("md5", String(32), nullable=False),
    Column("size", BIG, nullable=False),
    Column("target", String(512), nullable=False),
    Column("requires", Coded(Requirements), nullable=False),
    Column("file", String(128), nullable=False),
)

collected = Table(
    "collected",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("lineage", Coded(Lineage)),
)
