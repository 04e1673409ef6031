"""Routes of what the field tells, and of labels that come later."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from edgekit.client.wire.field import (
    AccuracyView,
    DriftView,
    LabelsTaken,
    NewLabels,
)
from fleet_server.api.context import Context
from fleet_server.api.management import PREFIX


def make_router(context: Context) -> APIRouter:
    """Return what people do with labels, and what they read of drift."""
    router = APIRouter(prefix=PREFIX, dependencies=[Depends(context.admin)])
    field, drift = context.services.field, context.services.drift

    @router.post("/labels")
    def post_labels(body: NewLabels) -> LabelsTaken:
        """Say what samples really showed."""
        return field.add(body, now=context.clock())

    @router.get("/labels/{model}")
    def get_accuracy(model: str, version: str = "") -> list[AccuracyView]:
        """Return the accuracy in the field of each release and variant that has labels."""
        return field.accuracy(model, version)

    @router.get("/drift")
    def get_drift(model: str = "") -> list[DriftView]:
        """Return the hours of the last day in which a device left what is usual there."""
        return drift.alarms(model, now=context.clock())

    return router
