"""Tables of devices and of the tokens that let them in."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from edgekit.device import DeviceProfile
from fleet_server.services.records.devices import AutoConfirm, DeviceState
from fleet_server.store.columns import Coded, UtcDateTime, Word
from fleet_server.store.schema.base import PAIRS, metadata

devices = Table(
    "devices",
    metadata,
    Column("id", String(256), primary_key=True),
    Column("token_sha256", String(64), nullable=False),
    Column("enrolled_by", String(64), nullable=False),
    Column("enrolled_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime),
    Column("labels", Coded(PAIRS), nullable=False),
    Column("attributes", Coded(PAIRS), nullable=False),
    Column("profile", Coded(DeviceProfile)),
    Column("running", Coded(PAIRS), nullable=False),
    Column("speaks_running", Boolean, nullable=False),
    Column("attributes_wanted", Boolean, nullable=False),
    Column("state", Word(DeviceState), nullable=False),
    Column("alarm", Text, nullable=False),
    Column("next_token_sha256", String(64), nullable=False),
    Column("gateway", Boolean, nullable=False),
    Column("auto_confirm", Coded(AutoConfirm)),
    Column("boots", Coded(tuple[str, ...]), nullable=False),
    Column("pins", Coded(PAIRS), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("cell", Integer, nullable=False),
    Index("devices_by_kind", "kind", "cell"),
)

enrolment_tokens = Table(
    "enrolment_tokens",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("uses_left", Integer, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("labels", Coded(PAIRS), nullable=False),
    Column("accept", Boolean, nullable=False),
    Column("device_ids", Coded(tuple[str, ...]), nullable=False),
)

gateway_tokens = Table(
    "gateway_tokens",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)
