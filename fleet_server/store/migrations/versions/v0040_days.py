"""Old windows, one row a device and day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    big = sa.Integer().with_variant(sa.BigInteger, "postgresql")
    op.create_table(
        "window_days",
        sa.Column("id", big, primary_key=True),
        sa.Column("day", sa.String(10), nullable=False, index=True),
        sa.Column(
            "device", sa.String(256), sa.ForeignKey("devices.id"), nullable=False, index=True
        ),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("windows", big, nullable=False),
        sa.Column("inferences", big, nullable=False),
        sa.Column("errors", big, nullable=False),
        sa.Column("latencies", big, nullable=False),
        sa.Column("sum_log_latency", sa.Float, nullable=False),
        sa.Column("sum_sq_log_latency", sa.Float, nullable=False),
        sa.Column("rss_mb", sa.Float, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("window_days")
