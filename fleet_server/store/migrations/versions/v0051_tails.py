"""The 95th percentile of each window, so that gates add it up without reading windows whole."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0051"
down_revision = "0071"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("windows", sa.Column("log_p95", sa.Float))


def downgrade() -> None:
    op.drop_column("windows", "log_p95")
