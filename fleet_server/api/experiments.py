"""Routes of A/B experiments."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request

from edgekit.client.wire.experiments import ExperimentView, NewExperiment, Winner
from fleet_server.api.context import Context
from fleet_server.api.management import PREFIX


def make_router(context: Context) -> APIRouter:
    """Return what people do with experiments."""
    router = APIRouter(prefix=f"{PREFIX}/experiments", dependencies=[Depends(context.admin)])
    experiments = context.services.experiments

    @router.post("")
    def post_experiment(request: Request, body: NewExperiment) -> ExperimentView:
        """Hold releases side by side."""
        by = context.admin(request)
        return experiments.start(body, by=by, now=context.clock())

    @router.get("")
    def get_experiments() -> list[ExperimentView]:
        """Return every experiment, oldest first, without what it shows."""
        return experiments.all(now=context.clock())

    @router.get("/{experiment_id}")
    def get_experiment(experiment_id: str) -> ExperimentView:
        """Return an experiment with what it shows."""
        return experiments.get(experiment_id, now=context.clock())

    @router.post("/{experiment_id}/stop")
    def post_stop(experiment_id: str) -> ExperimentView:
        """End an experiment; its devices return to what rollouts give them."""
        return experiments.stop(experiment_id, now=context.clock())

    @router.post("/{experiment_id}/promote")
    def post_promote(request: Request, experiment_id: str, body: Winner) -> ExperimentView:
        """End an experiment and bring one of its releases to every matching device."""
        by = context.admin(request)
        return experiments.promote(experiment_id, body.version, by=by, now=context.clock())

    return router
