"""Signed metadata for devices. It is public: what matters about it is who signed it."""

from __future__ import annotations

from fastapi import APIRouter, Response

from fleet_server.api.context import TUF, Context
from fleet_server.services.errors import NotFoundError


def make_router(context: Context) -> APIRouter:
    """Return the one route that serves metadata files."""
    router = APIRouter(prefix=TUF.rstrip("/"))

    @router.get("/{name}")
    def get_metadata(name: str) -> Response:
        data = context.services.trust.file(name)
        if data is None:
            raise NotFoundError("there is no such metadata file")
        return Response(data, media_type="application/json")

    return router
