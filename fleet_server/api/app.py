"""The whole HTTP application: FastAPI behind the poll's hot path."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

import edgekit
from fleet_server.api import (
    artifacts,
    benchmarks,
    ddi,
    ddi_confirmation,
    devices,
    diagnoses,
    events,
    experiments,
    field,
    management,
    operations,
    parameters,
    people,
    public,
    publishing,
    rollouts,
    tuf,
)
from fleet_server.api.audited import AuditApp
from fleet_server.api.callers import Doorkeeper
from fleet_server.api.context import Context
from fleet_server.api.door import DoorApp
from fleet_server.api.examples import add_examples
from fleet_server.api.intake import IntakeApp
from fleet_server.api.overload import Overload
from fleet_server.api.poll import PollApp
from fleet_server.api.problems import add_handlers
from fleet_server.api.repeats import RepeatApp
from fleet_server.api.shield import Limits, Shield
from fleet_server.api.validators import ValidatorApp

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def make_app(context: Context, *, lifespan: Lifespan) -> ASGIApp:
    """Return the application.

    Args:
        context: Services, board, settings and clock.
        lifespan: Runs beside it, from start to end.
    """
    app = FastAPI(
        title="EdgeKit fleet server",
        version=edgekit.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    add_handlers(app)
    for router in _routers(context):
        app.include_router(router)
    add_examples(app)
    return _around(app, context)


def _routers(context: Context) -> tuple[APIRouter, ...]:
    return (
        operations.make_health_router(context),
        ddi.make_enrolment_router(context),
        ddi_confirmation.make_router(context),
        ddi.make_router(context),
        artifacts.make_router(context),
        public.make_router(context),
        tuf.make_router(context),
        management.make_trust_router(context),
        management.make_device_router(context),
        devices.make_router(context),
        devices.make_fleet_router(context),
        events.make_event_router(context),
        events.make_webhook_router(context),
        publishing.make_blob_router(context),
        publishing.make_release_router(context),
        publishing.make_garbage_router(context),
        rollouts.make_router(context),
        field.make_router(context),
        experiments.make_router(context),
        people.make_people_router(context),
        people.make_session_router(context),
        operations.make_router(context),
        benchmarks.make_device_router(context),
        benchmarks.make_router(context),
        parameters.make_device_router(context),
        parameters.make_router(context),
        diagnoses.make_device_router(context),
        diagnoses.make_router(context),
    )


def _around(app: FastAPI, context: Context) -> ASGIApp:
    """Put the layers around the routes: the door outermost, the audit log next to them."""
    overload = Overload(context.metrics, requests=context.settings.limits.requests_at_once)
    audited = AuditApp(app, context.services.accounts, clock=context.clock)
    repeats = RepeatApp(ValidatorApp(audited), context.services, clock=context.clock)
    shield = Shield(
        repeats,
        metrics=context.metrics,
        limits=Limits(),
        appointments=overload.appointments,
        behind_proxy=context.settings.behind_proxy,
    )
    intake = IntakeApp(
        shield,
        services=context.services,
        board=context.board,
        clock=context.clock,
        metrics=context.metrics,
    )
    doorkeeper = Doorkeeper(context.settings.limits, context.proxy, context.metrics)
    polls = PollApp(
        intake,
        doorkeeper=doorkeeper,
        metrics=context.metrics,
        services=context.services,
        board=context.board,
        settings=context.settings,
        clock=context.clock,
    )
    return DoorApp(
        polls,
        doorkeeper=doorkeeper,
        overload=overload,
        accounts=context.services.accounts,
        settings=context.settings,
        clock=context.clock,
    )
