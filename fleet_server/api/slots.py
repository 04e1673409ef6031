"""Downloads that hold a slot of their site while their bytes flow."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from datetime import datetime
from functools import partial

from fastapi import Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from fleet_server.api.context import Context
from fleet_server.services.downloads import LEASE, DownloadService
from fleet_server.services.errors import TooManyError
from fleet_server.services.records.devices import DeviceRecord

Body = AsyncIterable[str | bytes | memoryview]
Chunks = AsyncIterator[str | bytes | memoryview]
_AGAIN_S = range(5, 15)
_RENEW_S = LEASE.total_seconds() / 3


def in_slot(context: Context, device: DeviceRecord, answer: Callable[[], Response]) -> Response:
    """Return an answer whose body, if it streams one, holds a slot of the device's site.

    Raises:
        TooManyError: The site has no slot left.
    """
    downloads = context.services.downloads
    if not downloads.needs_slot(device):
        return answer()
    if not downloads.take(device, now=context.clock()):
        context.metrics.refused.add(1, "site")
        wait_s = random.choice(_AGAIN_S)  # noqa: S311 (spreads load)
        raise TooManyError("as many devices of the site as may download now", wait_s=wait_s)
    response = answer()
    if isinstance(response, StreamingResponse):
        body = response.body_iterator
        response.body_iterator = _holding(body, downloads, device, context.clock)
        if _reaches_the_end(response):
            response.body_iterator = _leaving(response.body_iterator, downloads, device)
    return response


async def _holding(
    body: Body,
    downloads: DownloadService,
    device: DeviceRecord,
    clock: Callable[[], datetime],
) -> Chunks:
    """Pass a body on and prolong the slot; after a cut it ends by itself."""
    due_s = time.monotonic() + _RENEW_S
    async for chunk in body:
        yield chunk
        if time.monotonic() >= due_s:
            await run_in_threadpool(partial(downloads.take, device, now=clock()))
            due_s = time.monotonic() + _RENEW_S


async def _leaving(body: Body, downloads: DownloadService, device: DeviceRecord) -> Chunks:
    """Give the slot back before the last piece: who has that may go, and ends this by going."""
    held: list[str | bytes | memoryview] = []
    async for chunk in body:
        for piece in held:
            yield piece
        held = [chunk]
    await run_in_threadpool(downloads.leave, device)
    for piece in held:
        yield piece


def _reaches_the_end(response: Response) -> bool:
    """Say whether the last byte of the file is the last one of the answer."""
    span, _, size = response.headers.get("content-range", "").partition("/")
    return response.status_code == 200 or span.rpartition("-")[2] == str(int(size or 0) - 1)
