"""Every table as it stands after the last migration. Holds no query."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from edgekit.bench.report import LatencyReport
from edgekit.device import DeviceProfile, Requirements
from edgekit.jobs import BenchmarkJob
from edgekit.manifest import Lineage
from edgekit.shadow import ShadowOrder, ShadowResult
from fleet_server.domain.rollout import Rollout
from fleet_server.services.records.benchmarks import BenchmarkState
from fleet_server.services.records.devices import AutoConfirm, DeviceState
from fleet_server.store.columns import Coded, SelectorText, UtcDateTime, Word
from fleet_server.store.dialects import BIG

metadata = MetaData()
_PAIRS = dict[str, str]

fleet = Table(
    "fleet",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", BIG, nullable=False),
)

changes = Table(
    "changes",
    metadata,
    Column("version", BIG, primary_key=True, autoincrement=False),
    Column("device", String(256)),
    Index("changes_by_device", "device", "version"),
)

devices = Table(
    "devices",
    metadata,
    Column("id", String(256), primary_key=True),
    Column("token_sha256", String(64), nullable=False),
    Column("enrolled_by", String(64), nullable=False),
    Column("enrolled_at", UtcDateTime, nullable=False),
    Column("last_seen_at", UtcDateTime),
    Column("labels", Coded(_PAIRS), nullable=False),
    Column("attributes", Coded(_PAIRS), nullable=False),
    Column("profile", Coded(DeviceProfile)),
    Column("running", Coded(_PAIRS), nullable=False),
    Column("speaks_running", Boolean, nullable=False),
    Column("attributes_wanted", Boolean, nullable=False),
    Column("state", Word(DeviceState), nullable=False),
    Column("alarm", Text, nullable=False),
    Column("next_token_sha256", String(64), nullable=False),
    Column("gateway", Boolean, nullable=False),
    Column("auto_confirm", Coded(AutoConfirm)),
    Column("boots", Coded(tuple[str, ...]), nullable=False),
    Column("pins", Coded(_PAIRS), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("cell", Integer, nullable=False),
    Index("devices_by_kind", "kind", "cell"),
)

enrolment_tokens = Table(
    "enrolment_tokens",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("uses_left", Integer, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("labels", Coded(_PAIRS), nullable=False),
    Column("accept", Boolean, nullable=False),
    Column("device_ids", Coded(tuple[str, ...]), nullable=False),
)

releases = Table(
    "releases",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model", String(64), nullable=False),
    Column("version", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("published_at", UtcDateTime, nullable=False),
    UniqueConstraint("model", "version", name="one_release_per_version"),
)

variants = Table(
    "variants",
    metadata,
    Column("release", ForeignKey("releases.id"), primary_key=True),
    Column("variant", String(128), primary_key=True),
    Column("digest", String(64), nullable=False, index=True),
    Column("sha1", String(40), nullable=False),
    Column("md5", String(32), nullable=False),
    Column("size", BIG, nullable=False),
    Column("target", String(512), nullable=False),
    Column("requires", Coded(Requirements), nullable=False),
    Column("file", String(128), nullable=False),
)

collected = Table(
    "collected",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("lineage", Coded(Lineage)),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", String(256), primary_key=True),
    Column("model", String(64), nullable=False),
    Column("version", String(128), nullable=False),
    Column("phase", String(16), nullable=False),
    Column("open", Boolean, nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("selector", SelectorText, nullable=False),
    Column("body", Coded(Rollout), nullable=False),
)

happenings = Table(
    "happenings",
    metadata,
    Column("id", BIG, primary_key=True),
    Column("rollout", ForeignKey("rollouts.id"), nullable=False, index=True),
    Column("at", UtcDateTime, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("stage", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("body", Coded(dict[str, Any]), nullable=False),
)

deployments = Table(
    "deployments",
    metadata,
    Column("action", BIG, primary_key=True),
    Column("device", ForeignKey("devices.id"), nullable=False),
    Column("rollout", String(256), nullable=False),
    Column("model", String(64), nullable=False),
    Column("version", String(128), nullable=False),
    Column("variant", String(128), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("open", Boolean, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("offered_at", UtcDateTime, nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
    Column("activated_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("retrieved", Boolean, nullable=False),
    Column("cancelling", Boolean, nullable=False),
    Column("forgiven", Boolean, nullable=False),
    Column("awaiting", Boolean, nullable=False),
    Column("shadow", Coded(ShadowOrder)),
    Column("found", Coded(ShadowResult)),
    Index("deployments_of_device", "device", "action"),
    Index("deployments_of_rollout", "rollout", "state"),
    Index(
        "one_open_deployment_per_device",
        "device",
        unique=True,
        sqlite_where=text("open"),
        postgresql_where=text("open"),
    ),
    sqlite_autoincrement=True,
)

feedbacks = Table(
    "feedbacks",
    metadata,
    Column("id", BIG, primary_key=True),
    Column("action", ForeignKey("deployments.action"), nullable=False, index=True),
    Column("at", UtcDateTime, nullable=False),
    Column("execution", String(16), nullable=False),
    Column("messages", Coded(tuple[str, ...]), nullable=False),
)

gateway_tokens = Table(
    "gateway_tokens",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

flags = Table(
    "flags",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    Column("by", String(128), nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

benchmarks = Table(
    "benchmarks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("device", ForeignKey("devices.id"), nullable=False),
    Column("model", String(64), nullable=False),
    Column("version", String(128), nullable=False),
    Column("variant", String(128), nullable=False),
    Column("digest", String(64), nullable=False, index=True),
    Column("job", Coded(BenchmarkJob), nullable=False),
    Column("state", Word(BenchmarkState), nullable=False),
    Column("asked_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("reason", String(64), nullable=False),
    Column("detail", Text, nullable=False),
    Column("report", Coded(LatencyReport)),
    Index("benchmarks_of_device", "device", "state", "id"),
    sqlite_autoincrement=True,
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("url", Text, nullable=False),
    Column("secret", String(64), nullable=False),
    Column("cursor", BIG, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("problem", Text, nullable=False),
    Column("kinds", Coded(tuple[str, ...]), nullable=False),
)

windows = Table(
    "windows",
    metadata,
    Column("device", ForeignKey("devices.id"), primary_key=True),
    Column("spool_id", String(64), primary_key=True),
    Column("seq", BIG, primary_key=True, autoincrement=False),
    Column("model", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("duration_s", Float, nullable=False),
    Column("state", String(16), nullable=False),
    Column("inferences", BIG, nullable=False),
    Column("errors", BIG, nullable=False),
    Column("latencies", BIG, nullable=False),
    Column("sum_log_latency", Float, nullable=False),
    Column("sum_sq_log_latency", Float, nullable=False),
    Column("rss_mb", Float, nullable=False),
    Column("log_p95", Float),
    Column("body", Text, nullable=False),
    Index("windows_of_device", "device", "model", "ended_at"),
    Index("windows_by_time", "model", "ended_at"),
)
