"""Diagnose bundles: what devices upload, and what people ask for."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from edgekit import codec
from edgekit.client.wire.diagnoses import DiagnosisRequest
from edgekit.jobs import DIAGNOSIS_TYPE, MAX_DIAGNOSIS_BYTES, DiagnosisFailure
from fleet_server.api.context import CONTROLLER, Context, read_body, run_in_threadpool
from fleet_server.api.management import PREFIX


def make_device_router(context: Context) -> APIRouter:
    """Return what a device does with a request."""
    router = APIRouter(prefix=f"{CONTROLLER}{{device_id}}/diagnosis")
    diagnoses = context.services.diagnoses

    @router.post("/{number}")
    async def post_diagnosis(request: Request, device_id: str, number: int) -> Response:
        await run_in_threadpool(context.device, request, device_id)
        body = await read_body(request, limit=MAX_DIAGNOSIS_BYTES)
        now = context.clock()
        if request.headers.get("content-type", "") == DIAGNOSIS_TYPE:
            await run_in_threadpool(lambda: diagnoses.take(device_id, number, body, now=now))
        else:
            problem = codec.decode(body, DiagnosisFailure, where="diagnosis").problem
            await run_in_threadpool(lambda: diagnoses.refuse(device_id, number, problem, now=now))
        return Response()

    return router


def make_router(context: Context) -> APIRouter:
    """Return what people do with diagnose bundles."""
    prefix = f"{PREFIX}/devices/{{device_id}}/diagnoses"
    router = APIRouter(prefix=prefix, dependencies=[Depends(context.admin)])
    diagnoses = context.services.diagnoses

    @router.post("")
    def post_request(request: Request, device_id: str) -> DiagnosisRequest:
        """Ask a device for its diagnose bundle."""
        return diagnoses.ask(device_id, by=context.admin(request), now=context.clock())

    @router.get("/{number}")
    def get_request(device_id: str, number: int) -> DiagnosisRequest:
        """Say how far a request is."""
        return diagnoses.view(device_id, number)

    @router.get("/{number}/bundle")
    def get_bundle(device_id: str, number: int) -> Response:
        """Return the bundle, a tar.gz."""
        return Response(diagnoses.bundle(device_id, number), media_type=DIAGNOSIS_TYPE)

    return router
