"""Routes of single devices: who may speak, pins, and questions about one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from edgekit import codec
from edgekit.client.wire.admission import (
    Because,
    DeviceToken,
    GatewayToken,
    NewDevice,
    NewGateway,
)
from edgekit.client.wire.devices import DeviceView, Diagnosis, Pin, RanView
from edgekit.client.wire.server import FreezeView
from edgekit.errors import FormatError, UsageError
from fleet_server.api.context import Context
from fleet_server.api.management import PREFIX


def make_router(context: Context) -> APIRouter:
    """Return what people do with single devices."""
    router = APIRouter(prefix=f"{PREFIX}/devices", dependencies=[Depends(context.admin)])
    _add_admission(router, context)
    _add_pins(router, context)
    _add_questions(router, context)
    return router


def make_fleet_router(context: Context) -> APIRouter:
    """Return what concerns the fleet as a whole: gateways, the freeze."""
    router = APIRouter(prefix=PREFIX, dependencies=[Depends(context.admin)])
    admission, freeze = context.services.admission, context.services.freeze

    @router.post("/gateways")
    def post_gateway(body: NewGateway) -> GatewayToken:
        """Make a token that speaks for the devices behind a gateway."""
        return admission.add_gateway(body.name, now=context.clock())

    @router.delete("/gateways/{name}")
    def delete_gateway(name: str) -> dict[str, str]:
        """Make a gateway's tokens worthless."""
        admission.drop_gateway(name)
        return {}

    @router.get("/freeze")
    def get_freeze() -> FreezeView:
        """Say whether every offer is stopped."""
        return freeze.get()

    @router.put("/freeze")
    def put_freeze(request: Request, body: FreezeView) -> FreezeView:
        """Stop every offer, or offer again."""
        return freeze.put(body, by=context.admin(request), now=context.clock())

    return router


def _add_admission(router: APIRouter, context: Context) -> None:
    services = context.services
    admission, fleet = services.admission, services.fleet

    @router.post("")
    def post_device(request: Request, body: NewDevice) -> DeviceToken:
        """Make a device known that cannot enrol by itself."""
        by = context.admin(request)
        return admission.add(body.id, body.labels, by=by, now=context.clock())

    @router.post("/{device_id}/rotate")
    def post_rotate(device_id: str) -> DeviceToken:
        """Make a device's next token."""
        return admission.rotate(device_id)

    @router.post("/{device_id}/revoke")
    def post_revoke(request: Request, device_id: str, body: Because) -> DeviceView:
        """Make a device's token worthless."""
        by = context.admin(request)
        admission.revoke(device_id, body.reason, by=by, now=context.clock())
        return fleet.view(device_id)

    @router.post("/{device_id}/reject")
    def post_reject(request: Request, device_id: str, body: Because) -> DeviceView:
        """Keep a device out that waits."""
        by, reason = context.admin(request), body.reason or "was not accepted"
        admission.revoke(device_id, reason, by=by, now=context.clock())
        return fleet.view(device_id)

    @router.post("/{device_id}/quarantine")
    def post_quarantine(request: Request, device_id: str, body: Because) -> DeviceView:
        """Offer a device nothing more."""
        by = context.admin(request)
        admission.quarantine(device_id, body.reason, by=by, now=context.clock())
        return fleet.view(device_id)

    @router.post("/{device_id}/accept")
    def post_accept(request: Request, device_id: str) -> DeviceView:
        """Let a device in that waits or is quarantined."""
        admission.accept(device_id, by=context.admin(request), now=context.clock())
        return fleet.view(device_id)

    @router.post("/{device_id}/confirm")
    def post_confirm(request: Request, device_id: str) -> DeviceView:
        """Confirm, for the device, the offer that waits for that."""
        by = context.admin(request)
        services.confirming.confirm_for(device_id, by=by, now=context.clock())
        return fleet.view(device_id)


def _add_pins(router: APIRouter, context: Context) -> None:
    fleet, publish = context.services.fleet, context.services.publish

    @router.put("/{device_id}/pins/{model}")
    def put_pin(request: Request, device_id: str, model: str, body: Pin) -> DeviceView:
        """Install one release on one device, whatever rollouts say."""
        publish.get(model, body.version)
        by = context.admin(request)
        return fleet.pin(device_id, model, body.version, by=by, now=context.clock())

    @router.delete("/{device_id}/pins/{model}")
    def delete_pin(request: Request, device_id: str, model: str) -> DeviceView:
        """Let rollouts decide again."""
        by = context.admin(request)
        return fleet.pin(device_id, model, None, by=by, now=context.clock())


def _add_questions(router: APIRouter, context: Context) -> None:
    inspection = context.services.inspection

    @router.get("/{device_id}/running")
    def get_running(device_id: str, at: Annotated[str, Query()] = "") -> list[RanView]:
        """Say what a device ran at a time; now when none is given."""
        return inspection.ran_at(device_id, _time(at) if at else context.clock())

    @router.get("/{device_id}/diagnosis")
    def get_diagnosis(device_id: str) -> Diagnosis:
        """Say why a device runs what it runs."""
        return inspection.diagnose(device_id, now=context.clock())


def _time(text: str) -> datetime:
    try:
        at = codec.convert(text.replace(" ", "+"), datetime, where="at")
    except FormatError as error:
        raise UsageError("is no time", where="at", todo="write 2026-11-21T12:00:00Z") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)
