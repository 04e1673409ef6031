"""Signed metadata and the server's sealed keys, for servers on several machines."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0060"
down_revision = "0070"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "trust_files",
        sa.Column("name", sa.String(256), primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "online_keys",
        sa.Column("role", sa.String(16), primary_key=True),
        sa.Column("pem", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("online_keys")
    op.drop_table("trust_files")
