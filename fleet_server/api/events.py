"""Routes of events: what happened, what is wrong, and who is told."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from edgekit.client.wire.events import (
    AlarmView,
    CallAgain,
    DeliveryView,
    EventView,
    NewWebhook,
    WebhookSecret,
    WebhookView,
)
from fleet_server.api.context import Context
from fleet_server.api.management import PREFIX
from fleet_server.services.events import MAX_EVENTS


def make_event_router(context: Context) -> APIRouter:
    """Return what people ask about what happened."""
    router = APIRouter(prefix=PREFIX, dependencies=[Depends(context.admin)])
    events = context.services.events

    @router.get("/events")
    def get_events(
        limit: Annotated[int, Query(ge=1, le=MAX_EVENTS)] = 100,
        before: int | None = None,
        device: str = "",
    ) -> list[EventView]:
        """Return what happened, newest first, of one device or of all."""
        return events.newest(before=before, device=device, limit=limit)

    @router.get("/alarms")
    def get_alarms() -> list[AlarmView]:
        """Return every alarm that is not over."""
        return events.alarms()

    return router


def make_webhook_router(context: Context) -> APIRouter:
    """Return how addresses are told what happens."""
    router = APIRouter(prefix=f"{PREFIX}/webhooks", dependencies=[Depends(context.admin)])
    webhooks = context.services.webhooks

    @router.post("")
    def post_webhook(body: NewWebhook) -> WebhookSecret:
        """Register an address that is told what happens."""
        return webhooks.add(body, now=context.clock())

    @router.get("")
    def get_webhooks() -> list[WebhookView]:
        """Return every webhook."""
        return webhooks.all()

    @router.delete("/{webhook_id}")
    def delete_webhook(webhook_id: str) -> dict[str, str]:
        """Forget a webhook."""
        webhooks.drop(webhook_id)
        return {}

    @router.get("/{webhook_id}/calls")
    def get_calls(webhook_id: str) -> list[DeliveryView]:
        """Return the latest calls of a webhook, newest first."""
        return webhooks.calls(webhook_id)

    @router.post("/{webhook_id}/again")
    def post_again(webhook_id: str, body: CallAgain) -> WebhookView:
        """Call a webhook now, from where it stands or from an earlier event on."""
        return webhooks.again(webhook_id, after=body.after, now=context.clock())

    return router
