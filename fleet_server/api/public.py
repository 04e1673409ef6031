"""Bundles by digest for anybody, to be kept by a CDN: whoever knows a SHA-256 may have its bytes.

Nothing is listed. Devices verify everything that they get, wherever it comes from.
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from fleet_server.api.artifacts import file_response
from fleet_server.api.context import Context
from fleet_server.services.errors import NotFoundError

_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}


def make_router(context: Context) -> APIRouter:
    """Return the one route, or none where the operator has not allowed it."""
    router = APIRouter(prefix="/bundles")
    if not context.settings.downloads.public:
        return router

    @router.head("/{sha256}", include_in_schema=False)
    @router.get("/{sha256}")
    def get_bundle(request: Request, sha256: str) -> Response:
        """Return a bundle of a listed release, or a range of it."""
        listed = context.services.publish.is_listed(sha256)
        path = context.services.blobs.find(sha256) if listed else None
        if path is None:
            raise NotFoundError("there is no such bundle", where=sha256[:80])
        etag = f'"{sha256}"'
        if _has(request.headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers={"ETag": etag, **_FOREVER})
        answer = file_response(request, path, filename=f"{sha256}.bundle", etag=etag)
        if answer.status_code < 300:
            answer.headers.update(_FOREVER)
        return answer

    return router


def _has(known: str, etag: str) -> bool:
    """Say whether a caller has it already: If-None-Match, compared weakly (RFC 9110, 13.1.2)."""
    tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
    return bool(tags & {etag, "*"})
