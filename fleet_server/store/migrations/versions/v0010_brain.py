"""States, rotation and pins of devices; confirmations, feedback, gateways, flags, selectors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0001"
branch_labels = None
depends_on = None

_COLUMNS: dict[str, list[tuple[str, sa.types.TypeEngine[Any], str | None]]] = {
    "devices": [
        ("state", sa.String(16), "active"),
        ("alarm", sa.Text(), ""),
        ("next_token_sha256", sa.String(64), ""),
        ("gateway", sa.Boolean(), "0"),
        ("auto_confirm", sa.Text(), None),
        ("boots", sa.Text(), "[]"),
        ("pins", sa.Text(), "{}"),
    ],
    "variants": [("file", sa.String(128), "")],
    "deployments": [("awaiting", sa.Boolean(), "0")],
    "enrolment_tokens": [("accept", sa.Boolean(), "1"), ("device_ids", sa.Text(), "[]")],
}


def upgrade() -> None:
    for table, columns in _COLUMNS.items():
        for name, kind, default in columns:
            op.add_column(
                table, sa.Column(name, kind, nullable=default is None, server_default=default)
            )
    _create_feedbacks()
    op.create_table(
        "gateway_tokens",
        sa.Column("token_sha256", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "flags",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("by", sa.String(128), nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
    )
    _rewrite_selectors(_as_text)


def downgrade() -> None:
    _rewrite_selectors(_as_pairs)
    for table in ("flags", "gateway_tokens", "feedbacks"):
        op.drop_table(table)
    for table, columns in _COLUMNS.items():
        for name, _, _ in columns:
            op.drop_column(table, name)


def _create_feedbacks() -> None:
    op.create_table(
        "feedbacks",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "action", sa.Integer, sa.ForeignKey("deployments.action"), nullable=False, index=True
        ),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("execution", sa.String(16), nullable=False),
        sa.Column("messages", sa.Text, nullable=False),
    )


def _rewrite_selectors(how: Callable[[str], str]) -> None:
    table = sa.table("rollouts", sa.column("id", sa.String), sa.column("selector", sa.Text))
    connection = op.get_bind()
    for row in connection.execute(sa.select(table)).all():
        statement = sa.update(table).where(table.c.id == row.id)
        connection.execute(statement.values(selector=how(row.selector)))


def _as_text(pairs: str) -> str:
    return ",".join(f"{key}={value}" for key, value in json.loads(pairs).items())


def _as_pairs(text: str) -> str:
    """Keep what pairs can say; a selector that says more becomes one that nothing matches."""
    parts = [part for part in text.split(",") if part]
    simple = all(part.count("=") == 1 and not set(part) & set("!() ") for part in parts)
    pairs = dict(part.split("=") for part in parts) if simple else {"edgekit/none": "none"}
    return json.dumps(pairs)
