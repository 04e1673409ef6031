"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_NAMES = (
    "windows",
    "deployments",
    "happenings",
    "rollouts",
    "variants",
    "releases",
    "admin_tokens",
    "enrolment_tokens",
    "devices",
    "changes",
    "fleet",
)


def upgrade() -> None:
    _create_fleet()
    _create_devices()
    _create_tokens()
    _create_releases()
    _create_rollouts()
    _create_deployments()
    _create_windows()


def downgrade() -> None:
    for name in _NAMES:
        op.drop_table(name)


def _create_fleet() -> None:
    fleet = op.create_table(
        "fleet",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.bulk_insert(fleet, [{"id": 1, "version": 0}])
    op.create_table(
        "changes",
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("device", sa.String(256)),
    )
    op.create_index("changes_by_device", "changes", ["device", "version"])


def _create_devices() -> None:
    op.create_table(
        "devices",
        sa.Column("id", sa.String(256), primary_key=True),
        sa.Column("token_sha256", sa.String(64), nullable=False),
        sa.Column("enrolled_by", sa.String(64), nullable=False),
        sa.Column("enrolled_at", sa.DateTime, nullable=False),
        sa.Column("last_seen_at", sa.DateTime),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.Column("profile", sa.Text),
        sa.Column("running", sa.Text, nullable=False),
        sa.Column("speaks_running", sa.Boolean, nullable=False),
        sa.Column("attributes_wanted", sa.Boolean, nullable=False),
    )


def _create_tokens() -> None:
    op.create_table(
        "enrolment_tokens",
        sa.Column("token_sha256", sa.String(64), primary_key=True),
        sa.Column("uses_left", sa.Integer, nullable=False),
        sa.Column("expires_at", sa.DateTime, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
    )
    op.create_table(
        "admin_tokens",
        sa.Column("token_sha256", sa.String(64), primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
    )


def _create_releases() -> None:
    op.create_table(
        "releases",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("version", sa.String(128), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("published_at", sa.DateTime, nullable=False),
        sa.UniqueConstraint("model", "version", name="one_release_per_version"),
    )
    op.create_table(
        "variants",
        sa.Column("release", sa.Integer, sa.ForeignKey("releases.id"), primary_key=True),
        sa.Column("variant", sa.String(128), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False, index=True),
        sa.Column("sha1", sa.String(40), nullable=False),
        sa.Column("md5", sa.String(32), nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("target", sa.String(512), nullable=False),
        sa.Column("requires", sa.Text, nullable=False),
    )


def _create_rollouts() -> None:
    op.create_table(
        "rollouts",
        sa.Column("id", sa.String(256), primary_key=True),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("version", sa.String(128), nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("open", sa.Boolean, nullable=False, index=True),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("ended_at", sa.DateTime),
        sa.Column("selector", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "happenings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "rollout", sa.String(256), sa.ForeignKey("rollouts.id"), nullable=False, index=True
        ),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("stage", sa.Integer, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )


def _create_deployments() -> None:
    op.create_table(
        "deployments",
        sa.Column("action", sa.Integer, primary_key=True),
        sa.Column("device", sa.String(256), sa.ForeignKey("devices.id"), nullable=False),
        sa.Column("rollout", sa.String(256), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("version", sa.String(128), nullable=False),
        sa.Column("variant", sa.String(128), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("open", sa.Boolean, nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("offered_at", sa.DateTime, nullable=False),
        sa.Column("changed_at", sa.DateTime, nullable=False),
        sa.Column("activated_at", sa.DateTime),
        sa.Column("ended_at", sa.DateTime),
        sa.Column("retrieved", sa.Boolean, nullable=False),
        sa.Column("cancelling", sa.Boolean, nullable=False),
        sa.Column("forgiven", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("deployments_of_device", "deployments", ["device", "action"])
    op.create_index("deployments_of_rollout", "deployments", ["rollout", "state"])
    op.create_index(
        "one_open_deployment_per_device",
        "deployments",
        ["device"],
        unique=True,
        sqlite_where=sa.text("open"),
        postgresql_where=sa.text("open"),
    )


def _create_windows() -> None:
    op.create_table(
        "windows",
        sa.Column("device", sa.String(256), sa.ForeignKey("devices.id"), primary_key=True),
        sa.Column("spool_id", sa.String(64), primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("received_at", sa.DateTime, nullable=False),
        sa.Column("ended_at", sa.DateTime),
        sa.Column("duration_s", sa.Float, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("inferences", sa.Integer, nullable=False),
        sa.Column("errors", sa.Integer, nullable=False),
        sa.Column("latencies", sa.Integer, nullable=False),
        sa.Column("sum_log_latency", sa.Float, nullable=False),
        sa.Column("sum_sq_log_latency", sa.Float, nullable=False),
        sa.Column("rss_mb", sa.Float, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("windows_for_evidence", "windows", ["device", "digest", "ended_at"])
    op.create_index("windows_by_time", "windows", ["model", "ended_at"])
