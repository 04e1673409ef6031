"""Records -> what the management API answers. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import exp
from typing import Any

from edgekit.client.wire.devices import DeviceView, HistoryEntry, TelemetryTotals
from edgekit.client.wire.releases import ReleaseView, VariantView
from edgekit.client.wire.rollouts import (
    CheckView,
    DeploymentView,
    HappeningView,
    RolloutView,
)
from edgekit.protocol import DeploymentKind as WireKind
from fleet_server.domain.deployment import DeploymentKind
from fleet_server.domain.goal import ReleaseState
from fleet_server.services.fleet_plan import KEPT_STATES, FleetPlan
from fleet_server.services.records.deployments import DeploymentRecord
from fleet_server.services.records.devices import DeviceRecord
from fleet_server.services.records.releases import ReleaseRecord
from fleet_server.services.records.rollouts import HappeningRecord, RolloutRecord
from fleet_server.services.records.telemetry import WindowTotals

_RELEASE_WORDS = {ReleaseState.LISTED: "published"}


def kind_word(kind: DeploymentKind) -> WireKind:
    """Return the word that devices and people get for why something was offered."""
    return WireKind.ROLLBACK if kind is DeploymentKind.ROLLBACK else WireKind.UPDATE


def device_view(
    device: DeviceRecord, deployments: Sequence[DeploymentRecord], plan: FleetPlan
) -> DeviceView:
    """Return what people see of a device."""
    known = {m: plan.by_digest[d][1] for m, d in device.running.items() if d in plan.by_digest}
    kept = [d.deployment for d in deployments if d.deployment.state in KEPT_STATES]
    return DeviceView(
        id=device.id,
        enrolled_at=device.enrolled_at.isoformat(),
        last_seen_at=_iso(device.last_seen_at),
        labels=dict(device.labels),
        attributes=dict(device.attributes),
        profile=device.profile,
        running=dict(device.running),
        committed={d.model: d.version for d in kept},
        variants={model: variant.variant for model, variant in known.items()},
        state=device.state.value,
        alarm=device.alarm,
        pins=dict(device.pins),
    )


def history_entry(record: DeploymentRecord) -> HistoryEntry:
    """Return a deployment as an entry of its device's history."""
    deployment = record.deployment
    return HistoryEntry(
        action=deployment.id,
        model=deployment.model,
        version=deployment.version,
        variant=deployment.variant,
        digest=record.digest,
        kind=kind_word(deployment.kind).value,
        state=deployment.state.value,
        reason=deployment.reason,
        detail=record.detail,
        offered_at=deployment.offered_at.isoformat(),
        activated_at=_iso(record.activated_at),
        ended_at=_iso(record.ended_at),
        rollout=deployment.rollout_id or None,
    )


def deployment_view(record: DeploymentRecord) -> DeploymentView:
    """Return a deployment as a row of its rollout."""
    deployment = record.deployment
    return DeploymentView(
        device=deployment.device_id,
        action=deployment.id,
        variant=deployment.variant,
        digest=record.digest,
        kind=kind_word(deployment.kind).value,
        state=deployment.state.value,
        reason=deployment.reason,
        detail=record.detail,
        offered_at=deployment.offered_at.isoformat(),
        activated_at=_iso(record.activated_at),
        ended_at=_iso(record.ended_at),
    )


def release_view(release: ReleaseRecord) -> ReleaseView:
    """Return what people see of a release."""
    return ReleaseView(
        model=release.model,
        version=release.version,
        state=_RELEASE_WORDS.get(release.state, release.state.value),
        published_at=release.published_at.isoformat(),
        variants=tuple(
            VariantView(
                variant=v.variant,
                digest=v.digest,
                size=v.size,
                target=v.target,
                requires=v.requires,
            )
            for v in release.variants
        ),
    )


def rollout_view(
    record: RolloutRecord, counts: Mapping[str, int], happenings: Sequence[HappeningRecord]
) -> RolloutView:
    """Return what people see of a rollout."""
    rollout = record.rollout
    return RolloutView(
        id=rollout.id,
        model=rollout.model,
        version=rollout.version,
        phase=rollout.phase.value,
        stage=rollout.stage_index,
        stages=len(rollout.policy.stages),
        started_at=rollout.created_at.isoformat(),
        ended_at=_iso(record.ended_at),
        waits_for="approval" if rollout.awaits_approval else "",
        started_by=rollout.created_by,
        counts=dict(counts),
        happenings=tuple(happening_view(h) for h in happenings),
    )


def happening_view(record: HappeningRecord) -> HappeningView:
    """Return a happening; of a judgement with its checks and their numbers."""
    judgement: Any = record.body.get("judgement") or {}
    return HappeningView(
        at=record.at.isoformat(),
        kind=record.kind,
        stage=record.stage,
        text=record.text,
        checks=tuple(_check_view(check) for check in judgement.get("checks", ())),
    )


def totals_view(totals: WindowTotals) -> TelemetryTotals:
    """Return what people see of a device's windows."""
    mean = exp(totals.sum_log_latency / totals.latencies) if totals.latencies else None
    return TelemetryTotals(
        model=totals.model,
        digest=totals.digest,
        spool_id=totals.spool_id,
        windows=totals.windows,
        first_seq=totals.first_seq,
        last_seq=totals.last_seq,
        inferences=totals.inferences,
        errors=totals.errors,
        mean_latency_ms=mean,
        first_ended_at=_iso(totals.first_ended_at),
        last_ended_at=_iso(totals.last_ended_at),
    )


def _check_view(check: Mapping[str, Any]) -> CheckView:
    numbers = {name: value for name, value in check.get("numbers", {}).items() if value is not None}
    return CheckView(
        name=check["name"],
        variant=check.get("variant", ""),
        verdict=check["verdict"],
        sentence=check["sentence"],
        numbers=numbers,
    )


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
