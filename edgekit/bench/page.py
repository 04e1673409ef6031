"""Reports as one HTML page: pictures inside, light and dark, nothing fetched. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from edgekit.bench.report import LatencyFile, LatencyReport, Step
from edgekit.bench.statistics import Percentile
from edgekit.bench.steadiness import block_medians
from edgekit.bench.svg import Bar, Mark, Span, bar_chart, histogram, span_chart, time_chart

MAX_DOTS = 1500
BINS = 40
MAX_OPERATORS = 15

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5b6675; --paper: #ffffff;
  --line: #dfe4ea; --blue: #2563b0; --pale: #2563b055; --warn: #9a5b00; --card: #f5f7f9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9f0; --soft: #9aa6b5; --paper: #14181e;
  --line: #303846; --blue: #6ea8f0; --pale: #6ea8f066; --warn: #f0b35a; --card: #1c222a; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 760px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.4rem; overflow-wrap: anywhere; }
h3 { font-size: .95rem; margin: 1.4rem 0 .2rem; }
p.soft, td.soft { color: var(--soft); }
ul.warn { background: var(--card); border-left: 4px solid var(--warn); padding: .6rem 2rem; }
table { border-collapse: collapse; width: 100%; } div.wide { overflow-x: auto; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line); }
td { font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: var(--soft); }
svg .end, svg .name { text-anchor: end; } svg .middle, svg .axis { text-anchor: middle; }
svg .name { fill: var(--ink); } svg .grid { stroke: var(--line); }
svg .base { stroke: var(--soft); }
svg .dots { fill: var(--pale); } svg .line { fill: none; stroke: var(--blue); stroke-width: 2; }
svg .bar, svg .point { fill: var(--blue); } svg .span { stroke: var(--blue); stroke-width: 2; }
svg .mark { stroke: var(--warn); stroke-dasharray: 4 3; }
"""


def page(file: LatencyFile) -> str:
    """Return the page."""
    parts = [
        f"<h1>Latency</h1><p class='soft'>{escape(file.measured_at)}</p>",
        _overview(file.reports),
        *(_section(report) for report in file.reports),
    ]
    return _whole("Latency", parts)


def _whole(title: str, parts: Iterable[str]) -> str:
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
    )
    return head + "\n".join(parts) + "</body></html>\n"


def named(report: LatencyReport) -> str:
    """Return the file's name and the number of threads."""
    return f"{report.what.rpartition('/')[2]}, {report.threads} thread(s)"


def percentile_text(found: Percentile) -> str:
    """Return a percentile as it may be shown: its upper bound, or how many queries it needs."""
    if found.bound is None:
        return f"n/a (needs {found.needs})"
    return f"{found.bound:.4g}"


def _overview(reports: Sequence[LatencyReport]) -> str:
    spans = [
        Span(
            name=named(report),
            low=report.inference.interval.low,
            value=report.inference.median,
            high=report.inference.interval.high,
        )
        for report in reports
    ]
    title = "Median of the inference with its 95 % interval"
    return f"<h3>{title}</h3>" + span_chart(title, spans, x="milliseconds")


def _section(report: LatencyReport) -> str:
    parts = [
        f"<h2>{escape(named(report))}</h2>",
        f"<p class='soft'>{escape(_machine(report))}<br/>sha256 {report.digest}</p>",
        _warned(report.warnings),
        _step_table(report.steps),
        _over_time(report),
        _spread(report),
        _starts(report),
        _operators(report),
        _curve(report),
    ]
    return "".join(parts)


def _machine(report: LatencyReport) -> str:
    e, c = report.environment, report.condition
    seen = [
        f"{report.runtime} {report.version} ({report.provider})",
        f"{e.cpu or e.arch}, cores {', '.join(map(str, c.affinity))}",
        e.system,
        f"governor {c.governor or 'unknown'}",
        _ranged("frequency", c.frequency_mhz, "MHz"),
        _ranged("temperature", c.temperature_c, "°C"),
        "throttling unknown" if c.throttle_events is None else f"throttled {c.throttle_events}x",
        f"machine {report.steadiness or 'not judged'}",
    ]
    if report.noise_floor is not None:
        seen.append(f"noise floor {report.noise_floor:.1%}")
    if report.memory.peak_mb is not None:
        seen.append(f"peak memory {report.memory.peak_mb:.0f} MiB")
    return "; ".join(seen)


def _ranged(name: str, seen: tuple[float, float] | None, unit: str) -> str:
    return f"{name} unknown" if seen is None else f"{name} {seen[0]:.0f} to {seen[1]:.0f} {unit}"


def _warned(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    return f"<ul class='warn'>{''.join(f'<li>{escape(w)}</li>' for w in warnings)}</ul>"


def _step_table(steps: Sequence[Step]) -> str:
    wanted = [p.percentile for p in steps[0].percentiles]
    heads = "".join(f"<th>p{100 * p:g} at most, ms</th>" for p in wanted)
    rows = "".join(
        f"<tr><td>{s.name}</td><td>{s.summary.median:.4g}</td>"
        f"<td>{s.summary.interval.low:.4g} to {s.summary.interval.high:.4g}</td>"
        + "".join(f"<td>{percentile_text(p)}</td>" for p in s.percentiles)
        + f"<td>{s.summary.count}</td></tr>"
        for s in steps
    )
    head = f"<tr><th>step</th><th>median, ms</th><th>95 % interval</th>{heads}<th>queries</th></tr>"
    return f"<div class='wide'><table>{head}{rows}</table></div>"


def _over_time(report: LatencyReport) -> str:
    if report.samples is None:
        return ""
    when = np.asarray(report.samples.started_s)
    values = np.asarray(report.samples.steps_ms["inference"])
    every = max(1, len(values) // MAX_DOTS)
    dots = list(zip(when[::every].tolist(), values[::every].tolist(), strict=True))
    medians = block_medians(values.tolist())
    middles = [float(part.mean()) for part in np.array_split(when, len(medians))] if medians else []
    top = float(np.quantile(values, 0.995)) * 1.1
    over = int((values > top).sum())
    title = "Inference over time"
    chart = time_chart(
        title,
        dots,
        list(zip(middles, medians, strict=True)),
        x="seconds",
        y="milliseconds",
        top=top,
    )
    return f"<h3>{title}</h3>{chart}{_over(over)}"


def _spread(report: LatencyReport) -> str:
    if report.samples is None:
        return ""
    values = np.asarray(report.samples.steps_ms["inference"])
    high = float(np.quantile(values, 0.995)) * 1.05
    counts, edges = np.histogram(np.minimum(values, high), bins=BINS)
    bins = list(zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True))
    step = report.step("inference")
    marks = [
        Mark(name=f"p{100 * p.percentile:g}", at=p.value)
        for p in (step.percentiles if step else ())
        if p.value is not None
    ]
    title = "How often which latency"
    return f"<h3>{title}</h3>" + histogram(title, bins, marks, x="milliseconds")


def _starts(report: LatencyReport) -> str:
    bars = [
        Bar(name=name, value=s.median, hint=f"{s.minimum:.4g} to {s.maximum:.4g} ms in {s.count}")
        for name, s in report.starts_in_order
    ]
    title = "From nothing to the first answer, fresh processes"
    return f"<h3>{title}</h3>" + bar_chart(title, bars, unit="ms")


def _operators(report: LatencyReport) -> str:
    if not report.operators:
        return ""
    slowest = sorted(report.operators, key=lambda o: o.median_ms, reverse=True)[:MAX_OPERATORS]
    total = sum(o.median_ms for o in report.operators) or 1.0
    bars = [
        Bar(
            name=f"{o.kind} {o.name}",
            value=o.median_ms,
            hint=f"{o.name}: {o.median_ms / total:.0%} of all operators",
        )
        for o in slowest
    ]
    title = f"Slowest {len(slowest)} of {len(report.operators)} operators"
    return f"<h3>{title}</h3>" + bar_chart(title, bars, unit="ms")


def _curve(report: LatencyReport) -> str:
    if not report.curve:
        return ""
    slow = [(s.at_s, s.inference.p90 or s.inference.maximum) for s in report.curve]
    middle = [(s.at_s, s.inference.median) for s in report.curve]
    title = "Under full load: median of each slice, dots its p90"
    # A few slices that something else disturbed must not flatten the curve.
    usual = float(np.quantile([value for _, value in slow], 0.9))
    top = 1.1 * max(usual, *(value for _, value in middle))
    chart = time_chart(title, slow, middle, x="seconds", y="milliseconds", top=top)
    return f"<h3>{title}</h3>{chart}{_over(sum(value > top for _, value in slow))}"


def _over(count: int) -> str:
    """Return what is said of dots above a chart; empty where there are none."""
    return f"<p class='soft'>{count} slower ones sit at the upper edge</p>" if count else ""
