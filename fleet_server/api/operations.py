"""For those who run the server: is it alive, is it ready, and its numbers."""

from __future__ import annotations

from collections import Counter

from fastapi import APIRouter, Depends, Response

import edgekit
from edgekit.client.wire.server import Health
from fleet_server.api.context import Context
from fleet_server.api.metrics import CONTENT_TYPE


def make_health_router(context: Context) -> APIRouter:
    """Return what answers without a token."""
    router = APIRouter(prefix="/api/v1")

    @router.get("/health")
    def get_health() -> Health:
        """Say that the server works, its database too: ready for requests."""
        with context.services.database.read() as tables:
            tables.changes.version()
        days_left = context.services.trust.days_left(now=context.clock())
        return Health(status="ok", version=edgekit.__version__, trust_days_left=days_left)

    @router.get("/alive")
    def get_alive() -> dict[str, str]:
        """Say that the process works, whatever its database does: no reason to restart it."""
        return {"status": "ok"}

    return router


def make_router(context: Context) -> APIRouter:
    """Return what Prometheus asks for, with the token of a viewer."""
    router = APIRouter(dependencies=[Depends(context.admin)])

    @router.get("/metrics")
    def get_metrics() -> Response:
        """Return every number of this process."""
        _look(context)
        return Response(context.metrics.render(), media_type=CONTENT_TYPE)

    return router


def _look(context: Context) -> None:
    """Set the gauges that are read when they are asked for."""
    metrics, services = context.metrics, context.services
    metrics.leads.set(float(context.leads()))
    metrics.clock_ahead_s.set(context.clock_ahead().total_seconds())
    metrics.seats.set(context.board.seats)
    for role, days in services.trust.days_left(now=context.clock()).items():
        metrics.trust_days.set(days, role)
    with services.database.read() as tables:
        metrics.devices.set(tables.devices.count())
        records = tables.rollouts.all()
        phases = Counter(record.rollout.phase.value for record in records)
        for phase, count in phases.items():
            metrics.rollouts.set(count, phase)
        for record in records:
            if not record.rollout.is_terminal:
                for state, count in tables.deployments.counts(record.rollout.id).items():
                    metrics.deployments.set(count, record.rollout.id, state)
