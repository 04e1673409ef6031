"""Deployments that only try a release on live inputs, and what devices found that way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0060"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deployments", sa.Column("shadow", sa.Text))
    op.add_column("deployments", sa.Column("found", sa.Text))


def downgrade() -> None:
    op.drop_column("deployments", "found")
    op.drop_column("deployments", "shadow")
