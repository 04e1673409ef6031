"""Benchmarks on devices: what devices read and answer, and what people ask for."""

from __future__ import annotations

from dataclasses import replace

from fastapi import APIRouter, Depends, Request, Response

from edgekit import codec
from edgekit.client.wire.benchmarks import BenchmarkView, FieldAlarmView, NewBenchmark
from edgekit.jobs import BenchmarkAnswer
from fleet_server.api.artifacts import file_response
from fleet_server.api.context import CONTROLLER, Context, read_body, run_in_threadpool
from fleet_server.api.ddi_bodies import device_url
from fleet_server.api.management import PREFIX
from fleet_server.services.errors import NotFoundError

MAX_ANSWER_BYTES = 4 << 20


def make_device_router(context: Context) -> APIRouter:
    """Return what a device does with a job."""
    router = APIRouter(prefix=f"{CONTROLLER}{{device_id}}/benchmark")
    benchmarks = context.services.benchmarks

    @router.get("/{number}")
    def get_job(request: Request, device_id: str, number: int) -> Response:
        context.device(request, device_id)
        job = benchmarks.job(device_id, number)
        url = f"{device_url(context.base(request), device_id)}/benchmark/{number}/bundle"
        return Response(codec.encode(replace(job, download=url)), media_type="application/json")

    @router.get("/{number}/bundle")
    def get_bundle(request: Request, device_id: str, number: int) -> Response:
        context.device(request, device_id)
        variant = benchmarks.bundle(device_id, number)
        path = context.services.blobs.find(variant.digest)
        if path is None:
            raise NotFoundError("the bundle is not here", where=variant.digest[:12])
        name = f"{variant.digest}.bundle"
        return file_response(request, path, filename=name, etag=f'"{variant.sha1}"')

    @router.post("/{number}")
    async def post_answer(request: Request, device_id: str, number: int) -> Response:
        await run_in_threadpool(context.device, request, device_id)
        body = await read_body(request, limit=MAX_ANSWER_BYTES)
        answer = codec.decode(body, BenchmarkAnswer, where="benchmark")
        await run_in_threadpool(
            lambda: benchmarks.answer(device_id, number, answer, now=context.clock())
        )
        return Response()

    return router


def make_router(context: Context) -> APIRouter:
    """Return what people do with benchmarks."""
    router = APIRouter(prefix=f"{PREFIX}/benchmarks", dependencies=[Depends(context.admin)])
    benchmarks = context.services.benchmarks

    @router.post("")
    def post_benchmark(body: NewBenchmark) -> list[BenchmarkView]:
        """Ask devices to measure a bundle."""
        return benchmarks.ask(body, now=context.clock())

    @router.get("")
    def get_benchmarks(digest: str = "") -> list[BenchmarkView]:
        """Return jobs, newest first, of one bundle or of all."""
        return benchmarks.page(digest=digest)

    @router.get("/alarms")
    def get_alarms() -> list[FieldAlarmView]:
        """Return every device whose telemetry left the interval of its benchmark."""
        return benchmarks.alarms(now=context.clock())

    @router.get("/{number}")
    def get_benchmark(number: int) -> BenchmarkView:
        """Return one job."""
        return benchmarks.view(number)

    return router
