"""Parameters on devices: what devices read and answer, and what people set."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from edgekit import codec
from edgekit.client.wire.parameters import NewParameters, ParametersView
from edgekit.jobs import ParametersAnswers
from fleet_server.api.context import CONTROLLER, Context, read_body, run_in_threadpool
from fleet_server.api.management import PREFIX

MAX_ANSWER_BYTES = 256 << 10


def make_device_router(context: Context) -> APIRouter:
    """Return what a device does with its parameters."""
    router = APIRouter(prefix=f"{CONTROLLER}{{device_id}}/parameters")
    parameters = context.services.parameters

    @router.get("")
    def get_orders(request: Request, device_id: str) -> Response:
        context.device(request, device_id)
        return Response(codec.encode(parameters.orders(device_id)), media_type="application/json")

    @router.post("")
    async def post_answers(request: Request, device_id: str) -> Response:
        await run_in_threadpool(context.device, request, device_id)
        body = await read_body(request, limit=MAX_ANSWER_BYTES)
        said = codec.decode(body, ParametersAnswers, where="parameters")
        await run_in_threadpool(parameters.answer, device_id, said.answers)
        return Response()

    return router


def make_router(context: Context) -> APIRouter:
    """Return what people do with the parameters of a device."""
    path = f"{PREFIX}/devices/{{device_id}}/parameters"
    router = APIRouter(prefix=path, dependencies=[Depends(context.admin)])
    parameters = context.services.parameters

    @router.get("")
    def get_present(device_id: str) -> list[ParametersView]:
        """Return what is set for each model, and what the device made of it."""
        return parameters.present(device_id)

    @router.get("/{model}")
    def get_history(device_id: str, model: str) -> list[ParametersView]:
        """Return every version, oldest first."""
        return parameters.history(device_id, model)

    @router.put("/{model}")
    def put_parameters(
        request: Request, device_id: str, model: str, body: NewParameters
    ) -> ParametersView:
        """Set all parameters of a model on one device."""
        by = context.admin(request)
        return parameters.set(device_id, model, body.values, by=by, now=context.clock())

    @router.post("/{model}/back")
    def post_back(request: Request, device_id: str, model: str) -> ParametersView:
        """Set again what held before."""
        return parameters.back(device_id, model, by=context.admin(request), now=context.clock())

    return router
