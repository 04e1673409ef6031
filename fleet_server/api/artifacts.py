"""Bundles for devices: whole, or a range of one, with validators."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from email.utils import formatdate
from pathlib import Path

import anyio
from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from edgekit import codec
from fleet_server.api.context import CONTROLLER, Context
from fleet_server.api.ddi_bodies import DELTA_MARK, artifact, artifact_name
from fleet_server.api.ranges import Part, Span, UnsatisfiableError, parse_ranges, parts_of
from fleet_server.api.slots import in_slot
from fleet_server.services.errors import NotFoundError
from fleet_server.services.records.deployments import DeploymentRecord
from fleet_server.services.records.releases import VariantRecord

_CHUNK_BYTES = 1 << 18
_MD5 = ".MD5SUM"
_BYTES = "application/octet-stream"
_SEVERAL = "multipart/byteranges"


def make_router(context: Context) -> APIRouter:
    """Return the routes below softwaremodules."""
    router = APIRouter(prefix=f"{CONTROLLER}{{device_id}}/softwaremodules/{{module}}")

    @router.get("/artifacts")
    def list_artifacts(request: Request, device_id: str, module: int) -> Response:
        context.device(request, device_id)
        record, variant = _allowed(context, device_id, module)
        listed = [artifact(context.base(request), device_id, record, variant)]
        return Response(codec.encode(listed), media_type="application/json")

    @router.head("/artifacts/{name}", include_in_schema=False)
    @router.get("/artifacts/{name}")
    def get_artifact(request: Request, device_id: str, module: int, name: str) -> Response:
        device = context.device(request, device_id)
        record, variant = _allowed(context, device_id, module)
        filename = artifact_name(record, variant)
        if name == filename + _MD5:
            return _md5sum(filename, variant)
        if request.method == "HEAD":
            return _bytes(context, request, record, variant, name)
        return in_slot(context, device, lambda: _bytes(context, request, record, variant, name))

    return router


def _bytes(
    context: Context, request: Request, record: DeploymentRecord, variant: VariantRecord, name: str
) -> Response:
    """Return a bundle, or a delta to it."""
    filename = artifact_name(record, variant)
    if name.startswith(filename + DELTA_MARK):
        return _delta(context, request, variant, name)
    path = context.services.blobs.find(variant.digest)
    if name != filename or path is None:
        raise NotFoundError("there is no such artifact", where=name)
    return file_response(request, path, filename=filename, etag=f'"{variant.sha1}"')


def variant_of(context: Context, record: DeploymentRecord) -> VariantRecord:
    """Return the published variant that a deployment offers.

    Raises:
        NotFoundError: It is not published any more.
    """
    deployment = record.deployment
    release = context.services.publish.get(deployment.model, deployment.version)
    variant = release.variant(deployment.variant)
    if variant is None:
        raise NotFoundError("there is no such variant", where=str(deployment.id))
    return variant


def file_response(request: Request, path: Path, *, filename: str, etag: str) -> Response:
    """Return a file, a range of it, or why not (412, 416)."""
    size = path.stat().st_size
    modified = formatdate(path.stat().st_mtime, usegmt=True)
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Last-Modified": modified,
        "Content-Disposition": f'attachment;filename="{filename}"',
        "X-Content-Type-Options": "nosniff",
    }
    wanted = request.headers.get("if-match")
    if wanted not in {None, "*", etag}:
        return Response(status_code=412, headers=headers)
    asked = request.headers.get("range")
    if asked is not None and request.headers.get("if-range", etag) not in {etag, modified}:
        asked = None
    try:
        spans = parse_ranges(asked, size) if asked is not None else None
    except UnsatisfiableError:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    parts, media_type = [Part(span=Span(start=0, end=size - 1))], _BYTES
    if spans is not None and len(spans) == 1:
        parts = [Part(span=spans[0])]
        headers["Content-Range"] = f"bytes {spans[0].start}-{spans[0].end}/{size}"
    elif spans is not None:
        boundary = secrets.token_hex(16)
        parts, media_type = parts_of(spans, size, boundary), f"{_SEVERAL}; boundary={boundary}"
    status = 200 if spans is None else 206
    headers["Content-Length"] = str(sum(part.length for part in parts))
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=media_type)
    return StreamingResponse(_read(path, parts), status, headers, media_type=media_type)


async def _read(path: Path, parts: Sequence[Part]) -> AsyncIterator[bytes]:
    async with await anyio.open_file(path, "rb") as file:
        for part in parts:
            if part.head:
                yield part.head
            left = part.span.length if part.span else 0
            await file.seek(part.span.start if part.span else 0)
            while left and (chunk := await file.read(min(_CHUNK_BYTES, left))):
                left -= len(chunk)
                yield chunk


def _allowed(
    context: Context, device_id: str, module: int
) -> tuple[DeploymentRecord, VariantRecord]:
    record = context.services.feedback.offered(device_id, module)
    return record, variant_of(context, record)


def _delta(context: Context, request: Request, variant: VariantRecord, name: str) -> Response:
    base = name.rpartition(DELTA_MARK)[2]
    path = context.services.deltas.path(base, variant.digest)
    if path is None:
        raise NotFoundError("there is no such delta", where=name)
    return file_response(request, path, filename=name, etag=f'"{base[:16]}-{variant.sha1}"')


def _md5sum(filename: str, variant: VariantRecord) -> Response:
    return Response(
        f"{variant.md5}  {filename}",
        media_type="text/plain",
        headers={"Content-Disposition": f'attachment;filename="{filename}{_MD5}"'},
    )
