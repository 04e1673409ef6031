"""edgekit bench: how long one inference takes on this machine, and which of two is faster.

`edgekit bench FILE` is `edgekit bench run FILE`: the first word may be left out. With `--device`
or `--selector` it is `edgekit bench remote`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from typer.core import TyperGroup

from edgekit.bench.compare import CompareEffort, CompareReport, compare, require_not_slower
from edgekit.bench.effort import DEFAULT, PRESETS, Effort, Preset
from edgekit.bench.latency import Setting, bench_path
from edgekit.bench.measured import measured
from edgekit.bench.messages import Slice
from edgekit.bench.page import named, page, percentile_text
from edgekit.bench.report import (
    LatencyFile,
    LatencyReport,
    read_latency,
    save_latency,
    without_samples,
)
from edgekit.cli import bench_fleet
from edgekit.cli.measured_profile import import_measured
from edgekit.cli.options import AsJson, seconds, utc_now
from edgekit.cli.output import print_json, print_table, say
from edgekit.errors import StorageError, UsageError

if TYPE_CHECKING:
    from typer._click import Context

DEFAULT_COMMAND = "run"
DEVICE_OPTIONS = ("--device", "--selector")


class DefaultGroup(TyperGroup):
    """A group whose first word may be left out: then it is `run`, or `remote` for devices."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Put the first word in where it is missing."""
        if args and args[0] != "--help" and args[0] not in self.commands:
            elsewhere = any(word.startswith(DEVICE_OPTIONS) for word in args)
            args = [bench_fleet.ON_DEVICES if elsewhere else DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=DefaultGroup, no_args_is_help=True)
app.add_typer(bench_fleet.app)
Threads = Annotated[
    str, typer.Option("--threads", "--num-threads", help="Threads of the runtime: 1 or 1,2,4.")
]
Affinity = Annotated[str, typer.Option(help="Cores to stay on: 0 or 0,1. All when left out.")]


class Warmup(StrEnum):
    """The word beside a number."""

    AUTO = "auto"


@app.callback()
def bench() -> None:
    """Measure the latency of bundles and model files: `edgekit bench FILE...` is `bench run`."""


@app.command()
def run(
    files: Annotated[list[Path], typer.Argument(help="Bundles, or .onnx, .tflite and .xml files.")],
    *,
    preset: Annotated[
        Preset | None, typer.Option(help="quick 128 queries and 10 s, mobile 1024 and 60 s, ...")
    ] = None,
    min_queries: Annotated[
        int | None,
        typer.Option("--min-queries", "--num-runs", help="Fewest queries that count.", min=1),
    ] = None,
    min_duration: Annotated[
        str, typer.Option("--min-duration", "--min-secs", help="Shortest time: 10s, 1m.")
    ] = "",
    warmup: Annotated[
        str, typer.Option("--warmup", "--warmup-runs", help="auto, or so many queries.")
    ] = Warmup.AUTO,
    threads: Threads = "1",
    percentile: Annotated[str, typer.Option(help="Percentiles to show.")] = "90,99",
    affinity: Affinity = "",
    starts: Annotated[int, typer.Option(help="Fresh processes whose start is timed.", min=1)] = 3,
    profile: Annotated[bool, typer.Option(help="Ask the runtime for its operators.")] = False,
    sustained: Annotated[str, typer.Option(help="Go on under full load: 30m.")] = "",
    save: Annotated[Path | None, typer.Option(help="Keep everything, raw samples too.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures.")] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the latency of bundles or model files on this machine.

    Each file is measured in a fresh process that nothing else shares. A percentile is shown as
    the bound that holds with 99 % confidence, and not below the queries that this takes.
    """
    setting = Setting(
        effort=_effort(preset, min_queries, min_duration, warmup),
        percentiles=tuple(_share(p) for p in percentile.split(",")),
        affinity=_numbers(affinity, "--affinity") if affinity else (),
        starts=starts,
        profile=profile,
        sustained_s=seconds(sustained) if sustained else 0.0,
    )
    counts = _numbers(threads, "--threads")
    reports = tuple(
        bench_path(file, _with_threads(setting, count)) for file in files for count in counts
    )
    file = LatencyFile(reports=reports, measured_at=_stamp(utc_now()))
    if save is not None:
        save_latency(save, file)
    if html is not None:
        _write(html, page(file))
    _show(file, as_json=as_json, profile_asked=profile)


@app.command("compare")
def compare_files(
    a: Annotated[Path, typer.Argument(help="Bundle or model file that counts as 1.")],
    b: Annotated[Path, typer.Argument(help="The one to judge.")],
    *,
    fail_if_slower: Annotated[
        str, typer.Option(help="Exit 1 if B is slower by more, 3 if nobody can say: 5%.")
    ] = "",
    rounds: Annotated[int, typer.Option(help="Times that new processes start.", min=1)] = 3,
    blocks: Annotated[int, typer.Option(help="Blocks A B B A of each round.", min=4)] = 12,
    threads: Annotated[int, typer.Option(help="Threads of the runtime.", min=1)] = 1,
    affinity: Affinity = "",
    seed: Annotated[int, typer.Option(help="Of the order of the blocks.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Say whether B is faster or slower than A, or that nobody can tell.

    A is compared with itself first; a difference counts only beyond what that finds.
    """
    limit = _limit(fail_if_slower) if fail_if_slower else None
    effort = CompareEffort(
        rounds=rounds,
        blocks=blocks,
        threads=threads,
        affinity=_numbers(affinity, "--affinity") if affinity else (),
    )
    report = compare(a, b, effort, rng=np.random.default_rng(seed))
    _show_comparison(report, as_json=as_json)
    if limit is not None:
        require_not_slower(report, limit)


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="What --save wrote, here or on a board.")],
    *,
    html: Annotated[Path | None, typer.Option(help="Write a page with pictures.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a saved result, with what speaks against it."""
    found = read_latency(file)
    if html is not None:
        _write(html, page(found))
    _show(found, as_json=as_json)


@app.command("import")
def import_result(
    result: Annotated[Path, typer.Argument(help="What --save wrote on a board.")],
    *,
    profile: Annotated[Path, typer.Option(help="Device profile (YAML) of that board.")],
    accept_warnings: Annotated[
        bool, typer.Option(help="Take it although something speaks against it.")
    ] = False,
) -> None:
    """Take a result from a board into its device profile, which is then no longer unmeasured.

    A result that something speaks against is refused with exit code 3.
    """
    new = measured(read_latency(result), accept_warnings=accept_warnings)
    everything = import_measured(profile, new)
    say(f"{profile}: {len(new)} taken, {len(everything)} measurements")


def _effort(preset: Preset | None, queries: int | None, duration: str, warmup: str) -> Effort:
    base = PRESETS[preset] if preset else DEFAULT
    return Effort(
        warmup_runs=None if warmup == Warmup.AUTO else _numbers(warmup, "--warmup")[0],
        num_runs=queries if queries is not None else base.num_runs,
        min_secs=_duration(duration) if duration else base.min_secs,
    )


def _duration(text: str) -> float:
    """Read "10s", or a plain number of seconds as TFLite's tool takes it."""
    try:
        return float(text)
    except ValueError:
        return seconds(text)


def _with_threads(setting: Setting, threads: int) -> Setting:
    if threads < 1:
        raise UsageError("a runtime needs at least one thread", todo="give --threads 1")
    return Setting(
        effort=setting.effort,
        threads=threads,
        percentiles=setting.percentiles,
        affinity=setting.affinity,
        starts=setting.starts,
        profile=setting.profile,
        sustained_s=setting.sustained_s,
    )


def _numbers(text: str, option: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no list of numbers", where=option, todo="write 1,2"
        ) from error


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 100.0:
        raise UsageError(f"{text!r} is no percentile", where="--percentile", todo="write 90,99")
    return value / 100.0


def _limit(text: str) -> float:
    try:
        return float(text.removesuffix("%")) / 100.0
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no share", where="--fail-if-slower", todo="write 5%"
        ) from error


def _stamp(now: datetime) -> str:
    return now.isoformat(timespec="seconds")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write ({error.strerror})", where=str(path)) from error


def _show(file: LatencyFile, *, as_json: bool, profile_asked: bool = False) -> None:
    if as_json:
        return print_json(without_samples(file))
    for report in file.reports:
        _show_report(report, profile_asked=profile_asked)
    return None


def _show_report(report: LatencyReport, *, profile_asked: bool) -> None:
    say(f"{named(report)}: {report.runtime} {report.version} ({report.provider}), {report.inputs}")
    wanted = [p.percentile for p in report.steps[0].percentiles]
    print_table(
        ("step", "median ms", "95 % interval", *(f"p{100 * p:g} ms" for p in wanted), "queries"),
        [
            (
                step.name,
                f"{step.summary.median:.4g}",
                f"{step.summary.interval.low:.4g} to {step.summary.interval.high:.4g}",
                *(percentile_text(p) for p in step.percentiles),
                step.summary.count,
            )
            for step in report.steps
        ],
    )
    parts = ", ".join(f"{name} {s.median:.4g}" for name, s in report.starts_in_order)
    say(f"start (ms): {parts}")
    memory = report.memory
    if memory.peak_mb is not None and memory.before_mb is not None:
        say(f"memory: peak {memory.peak_mb:.0f} MiB, {memory.before_mb:.0f} before the model")
    floor = "" if report.noise_floor is None else f", noise floor {report.noise_floor:.1%}"
    say(f"machine: {(report.steadiness or 'not judged').upper()}{floor}")
    if profile_asked and not report.operators:
        say(f"operators: {report.runtime} has no profile")
    for operator in sorted(report.operators, key=lambda o: -o.median_ms)[:10]:
        say(f"  {operator.median_ms:8.4f} ms  {operator.kind:16} {operator.name}")
    if report.curve:
        say(sustained_text(report.curve))
    for warning in report.warnings:
        say(f"warning: {warning}")


def sustained_text(curve: Sequence[Slice]) -> str:
    """Return what a sustained load did to the latency: its first, worst and last slice."""
    first, last = curve[0].inference.median, curve[-1].inference.median
    worst = max(part.inference.median for part in curve)
    throttled = sum(part.condition.throttle_events or 0 for part in curve)
    return (
        f"sustained: median {first:.4g} ms in the first of {len(curve)} slices, {worst:.4g} in the "
        f"worst, {last:.4g} in the last ({last / first - 1:+.1%}), {throttled} throttling events"
    )


def _show_comparison(report: CompareReport, *, as_json: bool) -> None:
    if as_json:
        return print_json(report)
    rows = [
        ("A", report.a, report.runtimes[0], report.inference_a),
        ("B", report.b, report.runtimes[1], report.inference_b),
    ]
    print_table(
        ("", "file", "runtime", "median ms", "95 % interval", "blocks"),
        [
            (
                name,
                what,
                runtime,
                f"{s.median:.4g}",
                f"{s.interval.low:.4g} to {s.interval.high:.4g}",
                s.count,
            )
            for name, what, runtime, s in rows
        ],
    )
    over = report.ratio
    low, high = over.interval.low, over.interval.high
    say(f"B takes {over.value:.3f} of A ({low:.3f} to {high:.3f}): {report.difference}")
    same = report.same.interval
    say(f"A takes {same.low:.3f} to {same.high:.3f} of itself; noise {report.floor:.1%}")
    return None
