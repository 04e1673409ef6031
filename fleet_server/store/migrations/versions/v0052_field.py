"""What the field tells: drift by the hour, recorded answers, labels that come later."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0052"
down_revision = "0051"
branch_labels = None
depends_on = None


def upgrade() -> None:
    device = sa.ForeignKey("devices.id")
    op.create_table(
        "drift_hours",
        sa.Column("device", sa.String(256), device, primary_key=True),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("at", sa.DateTime, primary_key=True),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
        sa.Column("drifted", sa.Text, nullable=False),
        sa.Column("watched", sa.Boolean, nullable=False),
        sa.Column("told", sa.Text, nullable=False),
    )
    op.create_index("drift_hours_by_time", "drift_hours", ["at", "model"])
    op.create_table(
        "answers",
        sa.Column("device", sa.String(256), sa.ForeignKey("devices.id"), primary_key=True),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("sample", sa.String(128), primary_key=True),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("label", sa.String(128), nullable=False),
        sa.Column("at", sa.DateTime, nullable=False, index=True),
    )
    op.create_index("answers_by_sample", "answers", ["model", "sample"])
    op.create_table(
        "labels",
        sa.Column("model", sa.String(64), primary_key=True),
        sa.Column("sample", sa.String(128), primary_key=True),
        sa.Column("label", sa.String(128), nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
    )


def downgrade() -> None:
    for table in ("labels", "answers", "drift_hours"):
        op.drop_table(table)
