"""edgekit bench on devices of a fleet: ask, wait, show; and the alarms that come of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from edgekit import codec
from edgekit.bench.page import percentile_text
from edgekit.bench.report import LatencyFile, LatencyReport, save_latency
from edgekit.bundle import open_bundle
from edgekit.cli.asking import asks, show_answer
from edgekit.cli.options import AsJson, seconds
from edgekit.cli.output import print_table, say, when
from edgekit.client.http import FleetClient
from edgekit.client.wire.benchmarks import BenchmarkView, FieldAlarmView, NewBenchmark
from edgekit.errors import EdgeKitError, InconclusiveError

ASK_S = 1.0
ON_DEVICES = "remote"

app = typer.Typer()


def _print_jobs(views: list[BenchmarkView]) -> None:
    print_table(
        ("job", "device", "release", "state", "median ms", "p90 ms", "machine", "asked", "why"),
        [_row(view) for view in views],
    )
    for view in views:
        for warning in view.warnings:
            say(f"warning: {view.device}: {warning}")


def _row(view: BenchmarkView) -> tuple[object, ...]:
    median, p90, machine = "", "", ""
    if view.report:
        report = _report(view)
        step = report.step("inference")
        found = [p for p in step.percentiles if p.percentile == 0.9] if step else []
        median, machine = f"{report.inference.median:.4g}", report.steadiness or ""
        p90 = percentile_text(found[0]) if found else ""
    release = f"{view.model} {view.version} {view.variant}"
    why = f"{view.reason}: {view.detail}" if view.reason else ""
    asked = when(view.asked_at)
    return view.id, view.device, release, view.state, median, p90, machine, asked, why


def _print_alarms(found: list[FieldAlarmView]) -> None:
    print_table(
        ("device", "release", "p90 ms in the field", "fine between", "benchmark"),
        (
            (
                *(a.device, f"{a.model} {a.version} {a.variant}", f"{a.p90_ms:.4g}"),
                *(f"{a.low_ms:.4g} and {a.high_ms:.4g}", a.benchmark),
            )
            for a in found
        ),
    )


@asks(app, ON_DEVICES)
def remote(
    client: FleetClient,
    bundle: Annotated[Path, typer.Argument(help="A published bundle.")],
    *,
    device: Annotated[str, typer.Option(help="Id of the device that shall measure.")] = "",
    selector: Annotated[str, typer.Option(help="Labels of devices: board=pi4.")] = "",
    threads: Annotated[int, typer.Option(help="Threads of the runtime.", min=1)] = 1,
    min_queries: Annotated[int, typer.Option(help="Fewest queries that count.", min=1)] = 128,
    min_duration: Annotated[str, typer.Option(help="Shortest time: 10s, 1m.")] = "10s",
    wait: Annotated[str, typer.Option(help="How long to wait for answers.")] = "10m",
    save: Annotated[Path | None, typer.Option(help="Keep the results as a file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a bundle on devices of the fleet, while they have nothing else to do.

    A device measures what it holds; one that is busy or updating says so. Exit code 3 if a device
    did not answer in time or did not measure.
    """
    wanted = NewBenchmark(
        digest=open_bundle(bundle).sha256,
        device=device,
        selector=selector,
        threads=threads,
        num_runs=min_queries,
        min_secs=seconds(min_duration),
    )
    views = _answered(client, client.create_benchmarks(wanted), wait_s=seconds(wait))
    if save is not None:
        reports = tuple(_report(view) for view in views if view.report)
        save_latency(save, LatencyFile(reports=reports, measured_at=views[0].asked_at))
    show_answer(views, _print_jobs, as_json=as_json)
    missing = [view for view in views if view.state != "done"]
    if missing:
        raise InconclusiveError(f"{len(missing)} of {len(views)} devices did not measure")


@asks(app, shows=_print_jobs)
def jobs(
    client: FleetClient,
    digest: Annotated[str, typer.Option(help="SHA-256 of one bundle.")] = "",
) -> list[BenchmarkView]:
    """List what devices were asked to measure, and what came of it."""
    return client.benchmarks(digest)


@asks(app)
def alarms(client: FleetClient, as_json: AsJson = False) -> None:
    """List devices whose last hour left the interval of their own benchmark; exit 1 if any."""
    found = client.field_alarms()
    show_answer(found, _print_alarms, as_json=as_json)
    if found:
        raise EdgeKitError(f"{len(found)} devices do not do what was measured on them")


def _answered(
    client: FleetClient, views: list[BenchmarkView], *, wait_s: float
) -> list[BenchmarkView]:
    """Ask again until every job has an answer or the time is over."""
    deadline = time.monotonic() + wait_s
    while any(view.state == "waiting" for view in views) and time.monotonic() < deadline:
        time.sleep(ASK_S)
        views = [client.benchmark(v.id) if v.state == "waiting" else v for v in views]
    return views


def _report(view: BenchmarkView) -> LatencyReport:
    return codec.convert(view.report, LatencyReport, where=f"benchmark {view.id}")
