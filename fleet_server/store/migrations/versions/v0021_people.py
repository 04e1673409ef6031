"""Accounts with roles, tokens with a life, an audit log that only grows, kept answers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_SQLITE_GUARD = """
CREATE TRIGGER audit_no_{verb} BEFORE {verb} ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END
"""
_POSTGRESQL_GUARD = """
CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit log only grows'; END $$;
CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows()
"""


def upgrade() -> None:
    _create_accounts()
    _create_audit()
    _guard_audit()
    op.execute(
        "INSERT INTO accounts (name, role, password, disabled, created_at)"
        " SELECT name, 'admin', '', false, min(created_at) FROM admin_tokens GROUP BY name"
    )
    op.execute(
        "INSERT INTO api_tokens (id, token_sha256, account, role, note, created_at)"
        " SELECT substr(token_sha256, 1, 12), token_sha256, name, 'admin', 'first', created_at"
        " FROM admin_tokens"
    )
    op.drop_table("admin_tokens")


def downgrade() -> None:
    op.create_table(
        "admin_tokens",
        sa.Column("token_sha256", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
    )
    op.execute(
        "INSERT INTO admin_tokens SELECT token_sha256, account, created_at FROM api_tokens"
        " WHERE role = 'admin' AND revoked_at IS NULL AND expires_at IS NULL"
    )
    for name in ("kept_answers", "audit", "api_tokens", "accounts"):
        op.drop_table(name)
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION audit_only_grows")


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password", sa.String(256), nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("token_sha256", sa.String(64), nullable=False, unique=True),
        sa.Column(
            "account", sa.String(128), sa.ForeignKey("accounts.name"), nullable=False, index=True
        ),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("note", sa.String(256), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("expires_at", sa.DateTime),
        sa.Column("revoked_at", sa.DateTime),
    )


def _create_audit() -> None:
    big = sa.Integer().with_variant(sa.BigInteger, "postgresql")
    op.create_table(
        "audit",
        sa.Column("id", big, primary_key=True),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("account", sa.String(128), nullable=False),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("status", sa.Integer),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_by_time", "audit", ["at"])
    op.create_table(
        "kept_answers",
        sa.Column("key_sha256", sa.String(64), primary_key=True),
        sa.Column("request_sha256", sa.String(64), nullable=False),
        sa.Column("at", sa.DateTime, nullable=False, index=True),
        sa.Column("status", sa.Integer),
        sa.Column("body", sa.Text, nullable=False),
    )


def _guard_audit() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(_SQLITE_GUARD.format(verb=verb))
        return
    op.execute(_POSTGRESQL_GUARD)
