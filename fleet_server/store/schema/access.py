"""Tables of who may do what and who did: accounts, tokens, the audit log, kept answers."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from fleet_server.store.columns import UtcDateTime
from fleet_server.store.dialects import BIG
from fleet_server.store.schema.base import metadata

accounts = Table(
    "accounts",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("password", String(256), nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("token_sha256", String(64), nullable=False, unique=True),
    Column("account", ForeignKey("accounts.name"), nullable=False, index=True),
    Column("role", String(16), nullable=False),
    Column("note", String(256), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BIG, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("request", String(64), nullable=False),
    Column("account", String(128), nullable=False),
    Column("token", String(32), nullable=False),
    Column("address", String(64), nullable=False),
    Column("action", Text, nullable=False),
    Column("status", Integer),
    Index("audit_by_time", "at"),
    sqlite_autoincrement=True,
)

kept_answers = Table(
    "kept_answers",
    metadata,
    Column("key_sha256", String(64), primary_key=True),
    Column("request_sha256", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False, index=True),
    Column("status", Integer),
    Column("body", Text, nullable=False),
)
