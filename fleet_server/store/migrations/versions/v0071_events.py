"""One list of everything that happens, calls of webhooks, and alarms.

Happenings of rollouts so far become events of the same numbers, so that webhooks go on where they
stood.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0071"
down_revision = "0050"
branch_labels = None
depends_on = None

_BIG = sa.Integer().with_variant(sa.BigInteger, "postgresql")
_COPY = """
INSERT INTO events (id, at, kind, text, device, model, version, rollout, stage, "by", body)
SELECT h.id, h.at, h.kind, h.text, '', r.model, r.version, h.rollout, h.stage, '', h.body
FROM happenings h JOIN rollouts r ON r.id = h.rollout
"""


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", _BIG, primary_key=True),
        sa.Column("at", sa.DateTime, nullable=False, index=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("device", sa.String(256), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("version", sa.String(128), nullable=False),
        sa.Column("rollout", sa.String(256), nullable=False),
        sa.Column("stage", sa.Integer, nullable=False),
        sa.Column("by", sa.String(128), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("events_of_device", "events", ["device", "id"])
    op.execute(_COPY)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "SELECT setval(pg_get_serial_sequence('events', 'id'),"
            " (SELECT COALESCE(MAX(id), 0) + 1 FROM events), false)"
        )
    _create_deliveries()
    _create_alarms()
    op.add_column(
        "webhooks", sa.Column("kinds", sa.Text, nullable=False, server_default=sa.text("'[]'"))
    )
    with op.batch_alter_table("webhooks") as batch:
        batch.alter_column("kinds", server_default=None)


def downgrade() -> None:
    with op.batch_alter_table("webhooks") as batch:
        batch.drop_column("kinds")
    for table in ("alarms", "deliveries", "events"):
        op.drop_table(table)


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", _BIG, primary_key=True),
        sa.Column("webhook", sa.String(32), nullable=False),
        sa.Column("event", _BIG, nullable=False),
        sa.Column("at", sa.DateTime, nullable=False, index=True),
        sa.Column("took_ms", sa.Float, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("problem", sa.Text, nullable=False),
    )
    op.create_index("deliveries_of_webhook", "deliveries", ["webhook", "id"])


def _create_alarms() -> None:
    op.create_table(
        "alarms",
        sa.Column("device", sa.String(256), primary_key=True),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("version", sa.String(128), nullable=False),
        sa.Column("raised_at", sa.DateTime, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
