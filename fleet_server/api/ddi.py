"""What devices call besides the poll: hawkBit's DDI v1 and EdgeKit's additions.

Success is exactly 200, because that is all that some clients take for one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from edgekit import codec
from edgekit.device import DeviceProfile
from edgekit.errors import UsageError
from edgekit.protocol import EnrolRequest, Feedback, TelemetryBatch
from fleet_server.api.artifacts import variant_of
from fleet_server.api.context import CONTROLLER, Context, read_body, run_in_threadpool
from fleet_server.api.ddi_bodies import deployment_base
from fleet_server.api.encodings import ACCEPTED, unpack
from fleet_server.services.attributes import Mode

MAX_BODY_BYTES = 1 << 20
MAX_BATCH_BYTES = 4 << 20


History = Annotated[int, Query(alias="actionHistory")]
"""DDI: how many of the device's own reports come along; below 0 or above 100 is 100."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledSoftware:
    """DDI: body of PUT installedBase."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigData:
    """DDI: body of PUT configData."""

    data: dict[str, str | None] = field(default_factory=dict)
    mode: Mode = Mode.MERGE


def json_answer(value: object) -> Response:
    """Return a value as JSON, without what is null: so does hawkBit."""
    return Response(codec.encode(_present(codec.plain(value))), media_type="application/json")


def _present(value: object) -> object:
    if isinstance(value, dict):
        return {key: _present(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_present(part) for part in value]
    return value


def make_router(context: Context) -> APIRouter:
    """Return the routes of one device."""
    router = APIRouter(prefix=f"{CONTROLLER}{{device_id}}")
    _add_deployments(router, context)
    _add_installed(router, context)
    _add_cancels(router, context)
    _add_reports(router, context)
    return router


def make_enrolment_router(context: Context) -> APIRouter:
    """Return the one route that a device may call before it has a token."""
    router = APIRouter(prefix="/api/v1")

    @router.post("/enrol")
    async def enrol(request: Request) -> Response:
        body = await read_body(request, limit=MAX_BODY_BYTES)
        wanted = codec.decode(body, EnrolRequest, where="enrolment")
        enrolled = await run_in_threadpool(
            lambda: context.services.enrolment.enrol(wanted, now=context.clock())
        )
        return json_answer(enrolled)

    return router


def _add_deployments(router: APIRouter, context: Context) -> None:
    feedback = context.services.feedback

    @router.get("/deploymentBase/{action}")
    def get_deployment(
        request: Request, device_id: str, action: int, history: History = 0
    ) -> Response:
        device = context.device(request, device_id)
        record = feedback.fetch(device_id, action)
        variant, said = variant_of(context, record), feedback.said(action, limit=history)
        has = device.running.get(record.deployment.model, "")
        delta = has if context.services.deltas.size(has, variant.digest) else ""
        base, mirror = context.base(request), context.settings.downloads.link(variant.digest)
        return json_answer(
            deployment_base(
                base, device_id, record, variant, said=said, delta_from=delta, mirror=mirror
            )
        )

    @router.post("/deploymentBase/{action}/feedback")
    async def post_feedback(request: Request, device_id: str, action: int) -> Response:
        await run_in_threadpool(context.device, request, device_id)
        body = await read_body(request, limit=MAX_BODY_BYTES)
        said = codec.decode(body, Feedback, where="feedback")
        await run_in_threadpool(
            lambda: feedback.report(device_id, action, said, now=context.clock())
        )
        return Response()


def _add_installed(router: APIRouter, context: Context) -> None:
    feedback = context.services.feedback

    @router.get("/installedBase/{action}")
    def get_installed(
        request: Request, device_id: str, action: int, history: History = 0
    ) -> Response:
        context.device(request, device_id)
        record = feedback.installed(device_id, action)
        variant, said = variant_of(context, record), feedback.said(action, limit=history)
        return json_answer(
            deployment_base(context.base(request), device_id, record, variant, said=said)
        )

    @router.put("/installedBase")
    async def put_installed(request: Request, device_id: str) -> Response:
        await run_in_threadpool(context.device, request, device_id)
        body = await read_body(request, limit=MAX_BODY_BYTES)
        said = codec.decode(body, InstalledSoftware, where="installedBase")
        new = await run_in_threadpool(
            lambda: context.services.installed.declare(
                device_id, said.name, said.version, now=context.clock()
            )
        )
        return Response(status_code=201 if new else 200)


def _add_cancels(router: APIRouter, context: Context) -> None:
    feedback = context.services.feedback

    @router.get("/cancelAction/{action}")
    def get_cancel(request: Request, device_id: str, action: int) -> Response:
        context.device(request, device_id)
        number = str(feedback.cancelled(device_id, action).deployment.id)
        return json_answer({"id": number, "cancelAction": {"stopId": number}})

    @router.post("/cancelAction/{action}/feedback")
    async def post_cancel_feedback(request: Request, device_id: str, action: int) -> Response:
        await run_in_threadpool(context.device, request, device_id)
        body = await read_body(request, limit=MAX_BODY_BYTES)
        said = codec.decode(body, Feedback, where="feedback")
        done = await run_in_threadpool(feedback.report_cancel, device_id, action, said)
        return Response(status_code=200 if done else 405)


def _add_reports(router: APIRouter, context: Context) -> None:
    services = context.services

    @router.put("/configData")
    async def put_config_data(request: Request, device_id: str) -> Response:
        await run_in_threadpool(context.device, request, device_id)
        body = await read_body(request, limit=MAX_BODY_BYTES)
        said = codec.decode(body, ConfigData, where="configData")
        if not said.data:
            raise UsageError("there is no attribute", where="configData")
        await run_in_threadpool(services.fleet.report_attributes, device_id, said.data, said.mode)
        return Response()

    @router.put("/profile")
    async def put_profile(request: Request, device_id: str) -> Response:
        await run_in_threadpool(context.device, request, device_id)
        body = await read_body(request, limit=MAX_BODY_BYTES)
        profile = codec.decode(body, DeviceProfile, where="profile")
        await run_in_threadpool(services.fleet.report_profile, device_id, profile)
        return Response()

    @router.post("/token")
    def post_token(request: Request, device_id: str) -> Response:
        """Give a device its next token; the present one is valid until the next is used."""
        context.device(request, device_id)
        return json_answer(services.admission.rotate(device_id))

    @router.post("/telemetry")
    async def post_telemetry(request: Request, device_id: str) -> Response:
        await run_in_threadpool(context.device, request, device_id)
        body = await read_body(request, limit=MAX_BATCH_BYTES)
        encoding = request.headers.get("content-encoding", "").strip().lower()
        receipt = await run_in_threadpool(_store, context, device_id, unpack(body, encoding))
        answer = json_answer(receipt)
        answer.headers.update(ACCEPTED)
        return answer


def _store(context: Context, device_id: str, body: bytes) -> object:
    received_at = context.clock()
    batch = codec.decode(body, TelemetryBatch, where="telemetry")
    if context.services.admission.is_new_boot(device_id, batch.boot_id):
        context.services.admission.watch_boot(device_id, batch.boot_id, now=received_at)
    return context.services.telemetry.store(device_id, batch, received_at=received_at)
