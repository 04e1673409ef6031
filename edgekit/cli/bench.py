"""edgekit bench: how long one inference takes on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.bench import Effort, LatencyReport, bench_path
from edgekit.bench.statistics import Summary, minimum_queries
from edgekit.cli.options import AsJson
from edgekit.cli.output import print_json, print_table, say


def bench(
    files: Annotated[list[Path], typer.Argument(help="Bundles, or .onnx and .tflite files.")],
    *,
    num_runs: Annotated[int, typer.Option(help="Fewest runs that count.", min=1)] = 128,
    warmup_runs: Annotated[int, typer.Option(help="Runs before that.", min=0)] = 10,
    min_secs: Annotated[float, typer.Option(help="Shortest time, seconds.", min=0)] = 1.0,
    num_threads: Annotated[int, typer.Option(help="Threads of the runtime.", min=1)] = 1,
    as_json: AsJson = False,
) -> None:
    """Measure the latency of bundles or model files on this machine.

    Shows the median with its 95 % interval and an upper bound of the 90th percentile.
    """
    effort = Effort(warmup_runs=warmup_runs, num_runs=num_runs, min_secs=min_secs)
    reports = [bench_path(file, effort, threads=num_threads) for file in files]
    if as_json:
        return print_json(reports)
    print_table(
        ("file", "step", "runtime", "median ms", "95 % interval", "p90 ms", "runs"),
        [row for report in reports for row in _rows(report)],
    )
    unsteady = [r.what for r in reports if not r.inference.steady]
    if unsteady:
        say(f"varies by more than 2.5 %, the machine was not quiet: {', '.join(unsteady)}")
    return None


def _rows(report: LatencyReport) -> list[tuple[object, ...]]:
    runtime = f"{report.runtime} {report.provider}"
    rows = [_row(report.what, "inference", runtime, report.inference)]
    if report.preprocessing is not None:
        rows.append(_row("", "preprocessing", "", report.preprocessing))
    return rows


def _row(what: str, step: str, runtime: str, summary: Summary) -> tuple[object, ...]:
    interval = f"{summary.interval.low:.4g} to {summary.interval.high:.4g}"
    few = f"needs {minimum_queries(0.9)} runs"
    p90 = few if summary.p90 is None else f"{summary.p90:.4g}"
    return what, step, runtime, f"{summary.median:.4g}", interval, p90, summary.count
