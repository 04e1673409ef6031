"""What bundles were proven on, and what their releases meet by the hour."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0100"
down_revision = "0091"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "drift_references",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
    )
    op.create_table(
        "release_hours",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("at", sa.DateTime, primary_key=True),
        sa.Column("hour", sa.Text, nullable=False),
    )
    op.create_index("release_hours_by_time", "release_hours", ["at"])


def downgrade() -> None:
    op.drop_table("release_hours")
    op.drop_table("drift_references")
