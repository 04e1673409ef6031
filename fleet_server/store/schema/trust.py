"""Tables of trust: signed metadata as devices read it, and the server's sealed keys."""

from __future__ import annotations

from sqlalchemy import Column, String, Table, Text

from fleet_server.store.schema.base import metadata

trust_files = Table(
    "trust_files",
    metadata,
    Column("name", String(256), primary_key=True),
    Column("body", Text, nullable=False),
)

online_keys = Table(
    "online_keys",
    metadata,
    Column("role", String(16), primary_key=True),
    Column("pem", Text, nullable=False),
)
