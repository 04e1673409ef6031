"""Diagnose bundles that devices were asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0081"
down_revision = "0080"
branch_labels = None
depends_on = None

_BIG = sa.Integer().with_variant(sa.BigInteger, "postgresql")


def upgrade() -> None:
    op.create_table(
        "diagnoses",
        sa.Column("id", _BIG, primary_key=True),
        sa.Column("device", sa.String(256), nullable=False),
        sa.Column("asked_at", sa.DateTime, nullable=False, index=True),
        sa.Column("asked_by", sa.String(128), nullable=False),
        sa.Column("ended_at", sa.DateTime),
        sa.Column("problem", sa.Text, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("bundle", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("diagnoses_of_device", "diagnoses", ["device", "ended_at", "id"])


def downgrade() -> None:
    op.drop_table("diagnoses")
