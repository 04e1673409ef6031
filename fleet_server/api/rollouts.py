"""Routes of rollouts."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from edgekit.client.wire.rollouts import (
    DeploymentView,
    NewRollout,
    PlanRow,
    RolloutView,
)
from fleet_server.api.context import Context
from fleet_server.api.management import PREFIX
from fleet_server.api.pages import After, Limit, link_next
from fleet_server.services.ports.database import Database
from fleet_server.services.rollout_schema import rollout_schema
from fleet_server.services.views import deployment_view, rollout_view


def make_router(context: Context) -> APIRouter:
    """Return what people do with rollouts."""
    router = APIRouter(prefix=f"{PREFIX}/rollouts", dependencies=[Depends(context.admin)])
    rollouts, database = context.services.rollouts, context.services.database

    def view(rollout_id: str) -> RolloutView:
        record = rollouts.get(rollout_id)
        with database.read() as tables:
            counts = tables.deployments.counts(rollout_id)
            happenings = tables.rollouts.happenings(rollout_id)
        return rollout_view(record, counts, happenings)

    @router.post("")
    def post_rollout(request: Request, body: NewRollout) -> RolloutView:
        """Start a rollout."""
        by = context.admin(request)
        return view(rollouts.start(body, by=by, now=context.clock()).rollout.id)

    @router.post("/plan")
    def post_plan(body: NewRollout) -> list[PlanRow]:
        """Say what a rollout would reach; starts nothing."""
        return rollouts.plan(body, now=context.clock())

    @router.get("/schema")
    def get_schema() -> dict[str, Any]:
        """Return the JSON schema of a rollout file."""
        return rollout_schema()

    @router.get("")
    def get_rollouts(
        response: Response, limit: Limit = None, after: After = ""
    ) -> list[RolloutView]:
        """Return rollouts, oldest first, without what happened, behind `after` (an id)."""
        return _page(database, response, limit=limit, after=after)

    @router.get("/{rollout_id}")
    def get_rollout(rollout_id: str) -> RolloutView:
        """Return a rollout with what happened."""
        return view(rollout_id)

    @router.get("/{rollout_id}/deployments")
    def get_deployments(rollout_id: str) -> list[DeploymentView]:
        """Return the devices of a rollout."""
        rollouts.get(rollout_id)
        with database.read() as tables:
            return [deployment_view(d) for d in tables.deployments.of_rollout(rollout_id)]

    @router.post("/{rollout_id}/{verb}")
    def post_verb(request: Request, rollout_id: str, verb: str) -> RolloutView:
        """Pause, resume, promote, approve or abort."""
        by = context.admin(request)
        rollouts.steer(rollout_id, verb, by=by, now=context.clock())
        return view(rollout_id)

    return router


def _page(
    database: Database, response: Response, *, limit: int | None, after: str
) -> list[RolloutView]:
    with database.read() as tables:
        found = tables.rollouts.page(after=after, limit=limit)
        page = [rollout_view(r, tables.deployments.counts(r.rollout.id), ()) for r in found]
    if limit is not None and len(page) == limit:
        link_next(response, limit=limit, after=page[-1].id)
    return page
