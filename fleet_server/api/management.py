"""Routes of health, trust and devices, for people, CI and commands."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from edgekit.client.wire.admission import EnrolmentToken, NewEnrolmentToken
from edgekit.client.wire.devices import DeviceView, HistoryEntry, TelemetryTotals
from edgekit.client.wire.trust import OnlineKeys, TrustMetadata, TrustView
from fleet_server.api.context import Context
from fleet_server.api.pages import MAX_PAGE, link_next
from fleet_server.domain.selector import parse_selector
from fleet_server.services.errors import NotFoundError
from fleet_server.services.views import totals_view

PREFIX = "/api/v1"


def make_trust_router(context: Context) -> APIRouter:
    """Return what people do with signed metadata."""
    router = APIRouter(prefix=f"{PREFIX}/trust", dependencies=[Depends(context.admin)])
    trust = context.services.trust

    @router.get("")
    def get_trust() -> TrustView:
        """Say what is served and how long it lives."""
        return trust.view(now=context.clock())

    @router.get("/online-keys")
    def get_online_keys() -> OnlineKeys:
        """Return the public keys that root metadata has to name."""
        return trust.online_keys()

    @router.put("/root")
    def put_root(body: TrustMetadata) -> TrustView:
        """Take root metadata; the first waits for the first targets."""
        trust.put_root(body.metadata.encode("utf-8", "surrogatepass"), now=context.clock())
        return trust.view(now=context.clock())

    @router.put("/targets")
    def put_targets(body: TrustMetadata) -> TrustView:
        """Take top-level targets metadata."""
        trust.put_targets(body.metadata.encode("utf-8", "surrogatepass"), now=context.clock())
        return trust.view(now=context.clock())

    @router.get("/metadata/{role}")
    def get_metadata(role: str) -> TrustMetadata:
        """Return the newest metadata of root, targets or a model."""
        data = trust.latest(role)
        if data is None:
            raise NotFoundError("there is no metadata of that role yet")
        return TrustMetadata(metadata=data.decode())

    return router


def make_device_router(context: Context) -> APIRouter:
    """Return what people do with devices."""
    router = APIRouter(prefix=PREFIX, dependencies=[Depends(context.admin)])
    fleet, services = context.services.fleet, context.services

    @router.post("/enrolment-tokens")
    def post_enrolment_token(body: NewEnrolmentToken) -> EnrolmentToken:
        """Make a token with which devices may become known."""
        return services.enrolment.new_token(body, now=context.clock())

    @router.get("/devices")
    def get_devices(
        response: Response,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
        after: str = "",
        selector: str = "",
    ) -> list[DeviceView]:
        """Return devices by name, beginning behind `after`."""
        page = fleet.page(selector=parse_selector(selector), after=after, limit=limit)
        if len(page) == limit:
            link_next(response, limit=limit, after=page[-1].id, selector=selector)
        return page

    @router.get("/devices/{device_id}")
    def get_device(device_id: str) -> DeviceView:
        """Return a device."""
        return fleet.view(device_id)

    @router.get("/devices/{device_id}/history")
    def get_history(device_id: str) -> list[HistoryEntry]:
        """Return a device's deployments, oldest first."""
        return fleet.history(device_id)

    @router.get("/devices/{device_id}/telemetry")
    def get_telemetry(device_id: str) -> list[TelemetryTotals]:
        """Return what arrived from a device, added up."""
        fleet.view(device_id)
        return [totals_view(totals) for totals in services.telemetry.totals(device_id)]

    @router.put("/devices/{device_id}/labels")
    def put_labels(device_id: str, body: dict[str, str]) -> DeviceView:
        """Replace a device's labels."""
        return fleet.set_labels(device_id, body)

    @router.post("/devices/{device_id}/retry")
    def post_retry(request: Request, device_id: str) -> list[HistoryEntry]:
        """Let a device be offered again what failed there."""
        return fleet.retry(device_id, by=context.admin(request), now=context.clock())

    return router
