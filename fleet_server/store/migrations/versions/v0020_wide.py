"""Integers of 64 bits on PostgreSQL; SQLite's always were."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0010"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("fleet", "version"),
    ("changes", "version"),
    ("variants", "size"),
    ("happenings", "id"),
    ("deployments", "action"),
    ("feedbacks", "id"),
    ("feedbacks", "action"),
    ("windows", "seq"),
    ("windows", "inferences"),
    ("windows", "errors"),
    ("windows", "latencies"),
)


def upgrade() -> None:
    _turn(sa.Integer(), sa.BigInteger())


def downgrade() -> None:
    _turn(sa.BigInteger(), sa.Integer())


def _turn(before: sa.types.TypeEngine[int], after: sa.types.TypeEngine[int]) -> None:
    if op.get_bind().dialect.name == "sqlite":
        return
    for table, column in _COLUMNS:
        op.alter_column(table, column, existing_type=before, type_=after)
