"""Routes of blobs and releases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import BinaryIO

from fastapi import APIRouter, Depends, Request, Response

from edgekit.client.wire.garbage import GarbageView
from edgekit.client.wire.releases import NewRelease, ReleaseView
from edgekit.client.wire.trust import TrustMetadata
from edgekit.errors import ConflictError, StorageError
from fleet_server.api.context import Context, run_in_threadpool
from fleet_server.api.management import PREFIX
from fleet_server.api.pages import After, Limit, link_next
from fleet_server.services.errors import TooLargeError
from fleet_server.services.views import release_view

UPLOAD_OFFSET = "Upload-Offset"


def make_release_router(context: Context) -> APIRouter:
    """Return what people do with releases."""
    router = APIRouter(prefix=f"{PREFIX}/releases", dependencies=[Depends(context.admin)])
    publish = context.services.publish

    @router.post("")
    def post_release(request: Request, body: NewRelease) -> ReleaseView:
        """Publish a release whose bundles are here already."""
        release = publish.publish(body, by=context.admin(request), now=context.clock())
        context.services.deltas.released(release, publish.all())
        return release_view(release)

    @router.get("")
    def get_releases(
        response: Response, limit: Limit = None, after: After = ""
    ) -> list[ReleaseView]:
        """Return releases, oldest first, beginning behind `after` (MODEL/VERSION)."""
        found = publish.page(after=after, limit=limit)
        if limit is not None and len(found) == limit:
            last = found[-1]
            link_next(response, limit=limit, after=f"{last.model}/{last.version}")
        return [release_view(release) for release in found]

    @router.get("/{model}/{version}")
    def get_release(model: str, version: str) -> ReleaseView:
        """Return a release."""
        return release_view(publish.get(model, version))

    @router.post("/{model}/{version}/withdraw")
    def post_withdraw(request: Request, model: str, version: str) -> ReleaseView:
        """Stop offering a release; devices that run it keep it."""
        by = context.admin(request)
        return release_view(publish.withdraw(model, version, by=by, now=context.clock()))

    @router.post("/{model}/{version}/revoke")
    def post_revoke(request: Request, model: str, version: str, body: TrustMetadata) -> ReleaseView:
        """Unlist a release; devices that run it get another one at their next contact."""
        wanted = NewRelease(model=model, version=version, targets=body.metadata)
        by = context.admin(request)
        return release_view(publish.revoke(wanted, by=by, now=context.clock()))

    return router


def make_garbage_router(context: Context) -> APIRouter:
    """Return how people find and take away what nobody needs."""
    router = APIRouter(prefix=f"{PREFIX}/garbage", dependencies=[Depends(context.admin)])
    garbage = context.services.garbage

    @router.get("")
    def get_garbage() -> GarbageView:
        """Say which bundles nobody needs any more."""
        return garbage.find(now=context.clock())

    @router.post("")
    def post_garbage(request: Request) -> GarbageView:
        """Take them away; what a device runs or may return to stays."""
        return garbage.collect(by=context.admin(request), now=context.clock())

    return router


def make_blob_router(context: Context) -> APIRouter:
    """Return how bundles come to the server."""
    router = APIRouter(prefix=f"{PREFIX}/blobs", dependencies=[Depends(context.admin)])
    blobs, limit = context.services.blobs, context.settings.max_bundle_bytes
    uploading: set[str] = set()

    @router.head("/{sha256}")
    def head_blob(sha256: str) -> Response:
        """Say whether a blob is here whole (200), or how much of it is (404, Upload-Offset)."""
        path = blobs.find(sha256)
        if path is None:
            offset = str(blobs.received(sha256))
            return Response(status_code=404, headers={UPLOAD_OFFSET: offset})
        return Response(headers={"Content-Length": str(path.stat().st_size)})

    @router.put("/{sha256}")
    async def put_blob(request: Request, sha256: str, offset: int = 0) -> Response:
        """Take a blob, or the rest of one from `offset` on; verified before it is in its place."""
        if await run_in_threadpool(blobs.find, sha256) is not None:
            return Response()
        if sha256 in uploading:
            raise ConflictError("is being uploaded by somebody else", where=sha256)
        uploading.add(sha256)
        try:
            file = await run_in_threadpool(lambda: blobs.open_part(sha256, offset=max(0, offset)))
            await _receive(request.stream(), file, limit=limit - offset)
            await run_in_threadpool(blobs.finish, sha256)
        finally:
            uploading.discard(sha256)
        return Response()

    return router


async def _receive(stream: AsyncIterator[bytes], file: BinaryIO, *, limit: int) -> None:
    size = 0
    try:
        async for part in stream:
            size += len(part)
            if size > limit:
                raise TooLargeError(f"the bundle is larger than {limit} bytes")
            await run_in_threadpool(file.write, part)
    except OSError as error:
        raise StorageError(f"cannot be written ({error.strerror})", where="blobs") from error
    finally:
        await run_in_threadpool(file.close)
