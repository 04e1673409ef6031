"""What people see: progress while a conversion works, and tables of what came out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from converters.cache import Cache
from converters.collection import Collected, collect
from converters.difference import Change
from converters.given import package_given
from converters.pipeline import convert
from converters.plan import ConversionPlan
from converters.preflight import Finding, preflight
from converters.profiles import read_profile
from converters.progress import shown_progress
from converters.quiet import quiet_process
from converters.report import Attempt, ConversionReport
from converters.steps import Step
from edgekit.bundle import Bundle
from edgekit.manifest import Preprocessing
from edgekit.verdict import Verdict


def convert_with_progress(plan: ConversionPlan) -> ConversionReport:
    """Convert, with progress on standard error and the libraries kept quiet."""
    with shown_progress((plan.model, *plan.variants)) as watch:
        return convert(plan, watch)


def package_with_progress(plan: ConversionPlan, reference: str) -> ConversionReport:
    """Package a ready-made file, with progress on standard error and the libraries kept quiet."""
    with shown_progress((plan.model,)) as watch:
        return package_given(plan, reference, watch)


def collect_with_progress(
    data: str, preprocessing: Preprocessing | None, cache: Cache, most: int
) -> Collected:
    """Build a calibration object, with progress on standard error."""
    with shown_progress((data,)) as watch:
        return collect(
            data,
            preprocessing,
            cache,
            most=most,
            advance=lambda done, total: watch(data, Step.COLLECT, done / total if total else 0.0),
        )


def print_collected(collected: Collected) -> None:
    """Print what is known about a calibration object."""
    facts, console = collected.facts, _console()
    table = Table(show_header=False, box=box.SIMPLE)
    table.add_column("what", style="bold")
    table.add_column("value", overflow="fold")
    table.add_row("samples", f"{facts.samples} of {list(facts.shape)} {facts.dtype}")
    table.add_row("classes", ", ".join(f"{k}: {n}" for k, n in facts.classes.items()) or "unknown")
    pairs = zip(facts.low, facts.high, strict=True)
    table.add_row("values", ", ".join(f"{low:g} to {high:g}" for low, high in pairs))
    table.add_row("object", f"{collected.path}{' (built earlier)' if collected.reused else ''}")
    console.print(table)
    for warning in facts.warnings:
        console.print(f"warning: {warning}", soft_wrap=True)


def preflight_quietly(plan: ConversionPlan, profiles: Sequence[str]) -> list[Finding]:
    """Look a source over for some kinds of devices, with the libraries kept quiet."""
    wanted = [read_profile(name) for name in profiles]
    with quiet_process():
        return preflight(plan, wanted)


def print_findings(found: Sequence[Finding], profiles: Sequence[str]) -> None:
    """Print one line for each thing that will not run, as compilers do: file:line first."""
    console = _console()
    for finding in found:
        target = f" ({finding.target})" if finding.target else ""
        where = f"{finding.where}: " if finding.where else ""
        console.print(f"{where}{finding.profile}{target}: {finding.what}", soft_wrap=True)
    for name in profiles:
        if not any(f.profile == read_profile(name).name for f in found):
            known = read_profile(name).known
            note = f" ({known})" if known else ""
            console.print(f"{name}{note}: nothing stands in the way", soft_wrap=True)


def print_changes(changes: Sequence[Change]) -> None:
    """Print one line a field that differs."""
    console = _console()
    if not changes:
        console.print("nothing differs")
        return
    table = Table(box=box.SIMPLE)
    for column in ("field", "before", "after"):
        table.add_column(column, overflow="fold")
    for change in changes:
        table.add_row(change.field, change.before, change.after)
    console.print(table)


def print_report(report: ConversionReport, out: Path) -> None:
    """Print one line a variant, the source's accuracy above, what to know about them below."""
    source = report.source
    console = _console()
    table = Table(
        box=box.SIMPLE,
        title=f"{report.model} {report.version}: {source.name}, "
        f"{source.metric} {accuracy_text(source.metric, source.accuracy)} "
        f"on {source.samples} held-out samples",
    )
    table.add_column("variant", no_wrap=True)
    for name in ("size", "accuracy", "worst diff", "SQNR", "agrees", "median here", "memory"):
        table.add_column(name, justify="right", no_wrap=True)
    for v in report.variants:
        table.add_row(
            v.variant,
            f"{v.model_bytes / 1024:.1f} KiB",
            accuracy_text(source.metric, v.accuracy),
            f"{v.max_abs_diff:.2g}",
            f"{v.sqnr_db:.1f} dB",
            f"{v.agreement:.1%}",
            f"{v.median_ms:.3f} ms",
            "-" if v.peak_mb is None else f"{v.peak_mb:.0f} MiB",
        )
    console.print(table)
    for v in report.variants:
        for attempt in v.attempts:
            console.print(_attempt_text(v.variant, attempt))
    if report.picked:
        front = ", ".join(v.variant for v in report.variants if v.front)
        console.print(f"picked: {report.picked}; nothing beats in every respect: {front}")
    for note in report.notes:
        console.print(f"note: {note}")
    if report.rejected:
        console.print(f"left out: {', '.join(report.rejected)} (--allow-slower keeps them)")
    console.print(f"{len(report.variants)} bundles in {out}, {report.seconds:.1f} s")


def _attempt_text(variant: str, attempt: Attempt) -> str:
    if attempt.drop is None:
        return f"{variant}, {attempt.rung}: {attempt.reason}"
    return (
        f"{variant}, {attempt.rung}: lost {attempt.drop:.2f} "
        f"({attempt.low:.2f} to {attempt.high:.2f}){_verdict_text(attempt.verdict)}"
    )


def _verdict_text(verdict: Verdict) -> str:
    return "" if verdict is Verdict.PENDING else f": {verdict.upper()}"


def accuracy_text(metric: str, value: float | None) -> str:
    """Return an accuracy as people read it: a share in percent, other measures as they are."""
    if value is None:
        return "-"
    share = metric in {"f1", "agreement", "map"} or metric.startswith("top")
    return f"{value:.2%}" if share else f"{value:.4g}"


def print_bundle(bundle: Bundle) -> None:
    """Print what a person asks about a bundle."""
    table = Table(title=bundle.path.name, show_header=False, box=box.SIMPLE)
    table.add_column("what", style="bold")
    table.add_column("value", overflow="fold")
    for what, value in _facts(bundle):
        table.add_row(what, value)
    _console().print(table)


def _console() -> Console:
    """Return the screen; where there is none, lines are long enough for a digest."""
    console = Console(file=sys.stdout, highlight=False)
    return console if console.is_terminal else Console(file=sys.stdout, highlight=False, width=110)


def _facts(bundle: Bundle) -> Iterator[tuple[str, str]]:
    m = bundle.manifest
    yield "model", f"{m.model} {m.version}, variant {m.variant} ({m.format}, {m.precision})"
    yield "sha256", bundle.sha256
    yield "size", f"{bundle.size} bytes"
    for spec in m.inputs:
        yield "input", f"{spec.name} {list(spec.shape)} {spec.dtype}"
    for spec in m.outputs:
        yield "output", f"{spec.name} {list(spec.shape)} {spec.dtype}"
    yield "preprocessing", _preprocessing(m.preprocessing)
    yield "postprocessing", m.postprocessing.task if m.postprocessing else "by shape"
    yield "labels", ", ".join(m.labels) or "none"
    yield (
        "parameters",
        ", ".join(sorted((m.parameters_schema or {}).get("properties", ()))) or "none",
    )
    yield "requires", " or ".join(f"{r.name} >= {r.minimum}" for r in m.requires.runtimes)
    q = m.quality
    got, had = (accuracy_text(q.metric, x) for x in (q.accuracy, q.reference_accuracy))
    yield "accuracy", f"{q.metric} {got} (source {had}, {q.samples} samples)"
    yield "parity", f"worst {q.max_abs_diff:.2g}, {q.sqnr_db:.1f} dB, agreement {q.agreement:.2%}"
    yield "golden", f"{m.golden.count} samples, tolerance {m.golden.atol:.3g}"
    yield "source", f"{m.lineage.source}, recipe {m.lineage.recipe}"
    yield (
        "tools",
        ", ".join(f"{name} {version}" for name, version in sorted(m.lineage.tools.items())),
    )
    for name, file in sorted(m.files.items()):
        yield "file", f"{name} {file.size} bytes"


def _preprocessing(spec: Preprocessing | None) -> str:
    if spec is None:
        return "none: samples are tensors"
    mean, std = (", ".join(f"{x:g}" for x in values) for values in (spec.mean, spec.std))
    audio = spec.audio
    first = (
        f"{spec.height}x{spec.width}x{spec.channels}, resize {spec.resize}"
        if audio is None
        else f"{spec.height} frames of {spec.width} {'MFCC' if audio.mfcc_count else 'log-mel'}, "
        f"{audio.sample_rate_hz} Hz, frame {audio.frame_length}, hop {audio.hop_length}"
    )
    return f"{first}, (x * {spec.scale:g} - [{mean}]) / [{std}], {spec.layout}"
