"""Download slots of sites."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0091"
down_revision = "0090"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "download_slots",
        sa.Column("device", sa.String(256), primary_key=True),
        sa.Column("site", sa.String(256), nullable=False, index=True),
        sa.Column("until", sa.DateTime, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("download_slots")
