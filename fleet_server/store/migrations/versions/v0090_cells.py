"""Samples of a fleet: devices by kind and cell; windows by device, model and time."""

from __future__ import annotations

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0090"
down_revision = "0081"
branch_labels = None
depends_on = None

_CELLS = 1024
_MANY = 5000


def upgrade() -> None:
    kind = sa.Column("kind", sa.String(16), nullable=False, server_default="")
    op.add_column("devices", kind)
    op.add_column("devices", sa.Column("cell", sa.Integer, nullable=False, server_default="0"))
    _place_devices(op.get_bind())
    op.create_index("devices_by_kind", "devices", ["kind", "cell"])
    op.drop_index("windows_for_evidence", "windows")
    op.create_index("windows_of_device", "windows", ["device", "model", "ended_at"])


def downgrade() -> None:
    op.drop_index("windows_of_device", "windows")
    op.create_index("windows_for_evidence", "windows", ["device", "digest", "ended_at"])
    op.drop_index("devices_by_kind", "devices")
    op.drop_column("devices", "cell")
    op.drop_column("devices", "kind")


def _place_devices(connection: sa.Connection) -> None:
    update = sa.text("UPDATE devices SET kind = :kind, cell = :cell WHERE id = :id")
    some = sa.text(
        "SELECT id, profile, labels FROM devices WHERE id > :after ORDER BY id LIMIT :many"
    )
    after = ""
    while found := connection.execute(some, {"after": after, "many": _MANY}).all():
        rows = [
            {"id": device_id, "kind": _kind(profile, labels), "cell": _cell(device_id)}
            for device_id, profile, labels in found
        ]
        connection.execute(update, rows)
        after = found[-1][0]


def _kind(profile: str | None, labels: str) -> str:
    if profile is None:
        pairs = json.loads(labels)
        if "client" not in pairs:
            return ""
        profile = json.dumps(
            [pairs["client"], pairs.get("arch", "")], separators=(",", ":"), ensure_ascii=False
        )
    return hashlib.sha256(profile.encode()).hexdigest()[:16]


def _cell(device_id: str) -> int:
    return int.from_bytes(hashlib.sha256(device_id.encode()).digest()[:8], "big") % _CELLS
