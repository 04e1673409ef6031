"""DDI's confirmationBase: a device says yes or no before it downloads anything."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from edgekit import codec
from edgekit.confirmation import ConfirmationFeedback, NewAutoConfirm
from fleet_server.api.artifacts import variant_of
from fleet_server.api.context import CONTROLLER, Context, read_body, run_in_threadpool
from fleet_server.api.ddi import MAX_BODY_BYTES, History, json_answer
from fleet_server.api.ddi_bodies import auto_confirm, confirmation


def make_router(context: Context) -> APIRouter:
    """Return the routes below confirmationBase."""
    router = APIRouter(prefix=f"{CONTROLLER}{{device_id}}/confirmationBase")
    _add_automatic(router, context)
    _add_actions(router, context)
    return router


def _add_automatic(router: APIRouter, context: Context) -> None:
    confirming = context.services.confirming

    @router.get("")
    def get_state(request: Request, device_id: str) -> Response:
        context.device(request, device_id)
        device, waiting = confirming.state(device_id)
        return json_answer(auto_confirm(context.base(request), device, waiting))

    @router.post("/activateAutoConfirm")
    async def activate(request: Request, device_id: str) -> Response:
        await run_in_threadpool(context.device, request, device_id)
        body = await read_body(request, limit=MAX_BODY_BYTES)
        wanted = codec.decode(body or b"{}", NewAutoConfirm, where="activateAutoConfirm")
        await run_in_threadpool(lambda: confirming.activate(device_id, wanted, now=context.clock()))
        return Response()

    @router.post("/deactivateAutoConfirm")
    def deactivate(request: Request, device_id: str) -> Response:
        context.device(request, device_id)
        confirming.deactivate(device_id)
        return Response()


def _add_actions(router: APIRouter, context: Context) -> None:
    confirming, feedback = context.services.confirming, context.services.feedback

    @router.get("/{action}")
    def get_action(request: Request, device_id: str, action: int, history: History = 0) -> Response:
        context.device(request, device_id)
        record = confirming.waiting(device_id, action)
        variant, said = variant_of(context, record), feedback.said(action, limit=history)
        return json_answer(
            confirmation(context.base(request), device_id, record, variant, said=said)
        )

    @router.post("/{action}/feedback")
    async def post_feedback(request: Request, device_id: str, action: int) -> Response:
        await run_in_threadpool(context.device, request, device_id)
        body = await read_body(request, limit=MAX_BODY_BYTES)
        said = codec.decode(body, ConfirmationFeedback, where="confirmation")
        await run_in_threadpool(
            lambda: confirming.answer(device_id, action, said, now=context.clock())
        )
        return Response()
