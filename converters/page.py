"""One conversion as one self-contained HTML page: no script, nothing fetched, light and dark.

Pure: values in, text out.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from converters.collection import Facts
from converters.report import Attempt, ConversionReport, VariantReport

PAGE = "report.html"
_WIDTH = 560
# Where bars begin: after the name of a variant, or of a rung or layer.
_VARIANTS, _NAMES = 160, 300
# Characters of a layer's kind and name together that fit before its bar.
_LABEL = 40
_BINS = 56
_STYLE = """
:root { color-scheme: light dark; --line: #8886; --ours: #2a7; --bad: #c43; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto;
padding: 0 1rem; } .wide { overflow-x: auto; } h1, p { overflow-wrap: anywhere; }
table { border-collapse: collapse; } td, th { padding: .25rem .8rem; text-align: right; }
td:first-child, th:first-child { text-align: left; } tr + tr { border-top: 1px solid var(--line); }
th { border-bottom: 2px solid var(--line); } code { font-size: .9em; overflow-wrap: anywhere; }
.pass { color: var(--ours); } .fail { color: var(--bad); } figure { display: inline-block;
margin: .5rem; text-align: center; } figure img { width: 96px; height: 96px; object-fit: contain;
image-rendering: pixelated; background: var(--soft); }
svg text { fill: currentColor; font-size: 12px; }
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """A held-out sample to which a variant gives another answer than the source.

    Attributes:
        index: Of the sample.
        source: The source's answer.
        variant: The variant's.
        truth: What is true; empty where it is not known.
        png: The picture; empty where a sample is none.
    """

    index: int
    source: str
    variant: str
    truth: str
    png: bytes


def html_page(report: ConversionReport, flips: Mapping[str, Sequence[Flip]]) -> str:
    """Return the page."""
    title = escape(f"{report.model} {report.version}")
    source = report.source
    accuracy = "" if source.accuracy is None else f", {source.metric} {source.accuracy:.4g}"
    body = [
        f"<h1>{title}</h1>",
        f"<p>Source <code>{escape(source.name)}</code>{accuracy} on {source.samples} held-out "
        f"samples. Format of this report: {report.format_version}.</p>",
        *(f"<p class=fail>{escape(note)}</p>" for note in report.notes),
        *(f"<p class=fail>Left out: {escape(name)}</p>" for name in report.rejected),
        _table(report.variants),
        "<h2>Latency here</h2><p>Median with its 95 % interval, the variants taking turns; the "
        "small line is a bound of the 90th percentile.</p>",
        _latency(report.variants),
        *(_distribution(v) for v in report.variants if len(v.latency_ms) > 1),
        "<h2>Loss of accuracy</h2><p>Paired with the source on the same samples, with the 95 % "
        "interval; positive is worse"
        f"{_allowed(report.max_accuracy_drop)}.</p>",
        *(_losses(v, report.max_accuracy_drop) for v in report.variants if v.attempts),
        *(_layers(v) for v in report.variants if v.layers),
        _calibration(report.calibration),
        *(_flips(name, found) for name, found in flips.items()),
    ]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def _table(variants: Sequence[VariantReport]) -> str:
    head = ("variant", "KiB", "accuracy", "worst difference", "SQNR dB", "agrees", "made by")
    rows = [
        (
            escape(v.variant),
            f"{v.model_bytes / 1024:.1f}",
            "-" if v.accuracy is None else f"{v.accuracy:.4g}",
            f"{v.max_abs_diff:.3g}",
            f"{v.sqnr_db:.1f}",
            f"{v.agreement:.2%}",
            escape(v.attempts[-1].rung if v.attempts else "-"),
        )
        for v in variants
    ]
    cells = "".join(f"<tr>{''.join(f'<td>{c}</td>' for c in row)}</tr>" for row in rows)
    titles = "".join(f"<th>{h}</th>" for h in head)
    return f"<div class=wide><table><tr>{titles}</tr>{cells}</table></div>"


def _latency(variants: Sequence[VariantReport]) -> str:
    most = max((v.p90_ms or v.median_high_ms for v in variants), default=1.0) * 1.05
    rows = []
    for index, v in enumerate(variants):
        y = 14 + 28 * index
        rows.append(_span(y, 0, v.median_ms, most, thick=10))
        rows.append(_span(y, v.median_low_ms, v.median_high_ms, most, thick=3, dark=True))
        if v.p90_ms is not None:
            rows.append(_span(y, v.p90_ms * 0.998, v.p90_ms, most, thick=16, dark=True))
        rows.append(_text(y, v.variant, f"{v.median_ms:.3f} ms"))
    return _svg(rows, 28 * len(variants))


def _distribution(v: VariantReport) -> str:
    """Draw how often each latency was measured; the slowest hundredth is counted, not drawn."""
    values = sorted(v.latency_ms)
    end = values[max(0, -(-len(values) * 99 // 100) - 1)]
    low, width = values[0], max(end - values[0], 1e-3) / _BINS
    counts = [0] * _BINS
    for value in values:
        if value <= end:
            counts[min(_BINS - 1, int((value - low) / width))] += 1
    step, most = _WIDTH / _BINS, max(counts)
    bars = "".join(
        f"<rect x={i * step:.1f} y={70 - 64 * n / most:.1f} width={step - 1:.1f} "
        f"height={64 * n / most:.1f} fill='var(--ours)'><title>{low + i * width:.3f} ms: {n}"
        "</title></rect>"
        for i, n in enumerate(counts)
        if n
    )
    beyond = sum(value > end for value in values)
    ends = (
        f"<text x=0 y=88>{low:.3f} ms</text>"
        f"<text x={_WIDTH} y=88 text-anchor=end>{end:.3f} ms</text>"
        f"<text x={_WIDTH + 8} y=40>{beyond} of {len(values)} beyond</text>"
    )
    return f"<h3>{escape(v.variant)}</h3>{_svg([bars, ends], 94)}"


def _layers(v: VariantReport) -> str:
    """Draw the signal that is left after each layer, the one that loses most marked."""
    losses = [0.0] + [a.sqnr_db - b.sqnr_db for a, b in itertools.pairwise(v.layers)]
    worst = losses.index(max(losses))
    scale = (_WIDTH - _NAMES) / max(1.0, *(layer.sqnr_db for layer in v.layers))
    rows = []
    for index, layer in enumerate(v.layers):
        y = 12 + 18 * index
        name = escape(layer.name[len(layer.operator) - _LABEL :])
        colour = "var(--bad)" if index == worst and losses[worst] > 0 else "var(--ours)"
        rows.append(
            f"<text x=0 y={y + 4}>{escape(layer.operator)} {name}</text>"
            f"<rect x={_NAMES} y={y - 5} height=10 width={max(1.0, scale * layer.sqnr_db):.1f} "
            f"fill='{colour}' />"
            f"<text x={_WIDTH + 8} y={y + 4}>{layer.sqnr_db:.1f} dB, "
            f"{layer.low:.3g} to {layer.high:.3g}</text>"
        )
    return (
        f"<h2>Layers: {escape(v.variant)}</h2><p>Signal that is left after each layer (SQNR, with "
        "the errors of the layers before it) and the range, on golden samples; "
        f"red where most is lost.</p>{_svg(rows, 18 * len(v.layers) + 8)}"
    )


def _calibration(facts: Facts | None) -> str:
    if facts is None:
        return ""
    pairs = zip(facts.low, facts.high, strict=True)
    classes = ", ".join(f"{escape(name)}: {count}" for name, count in facts.classes.items())
    rows = (
        ("samples", f"{facts.samples} of {list(facts.shape)} {escape(facts.dtype)}"),
        ("from", f"<code>{escape(facts.where)}</code>"),
        ("values by channel", ", ".join(f"{low:g} to {high:g}" for low, high in pairs)),
        ("samples by class", classes or "unknown"),
    )
    cells = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in rows)
    return f"<h2>Calibration</h2><div class=wide><table>{cells}</table></div>"


def _allowed(drop: float | None) -> str:
    return "" if drop is None else f"; the dashed line is what may be lost, {drop:g}"


def _losses(v: VariantReport, allowed: float | None) -> str:
    """Draw the loss of every rung that was tried; one that was not measured says why."""
    told = [end for a in v.attempts if a.drop is not None for end in (a.low or 0.0, a.high or 0.0)]
    low, high = min([0.0, *told]), max([0.001, allowed or 0.0, *told])
    scale = (_WIDTH - _NAMES) / (high - low)
    height = 24 * len(v.attempts)
    rows = [
        f"<line x1={x:.1f} x2={x:.1f} y1=0 y2={height} stroke=gray {dashes}/>"
        for value, dashes in ((0.0, ""), (allowed, "stroke-dasharray=4 "))
        if value is not None
        for x in [_NAMES + (value - low) * scale]
    ]
    for index, a in enumerate(v.attempts):
        y = 12 + 24 * index
        rows.append(f"<text x=0 y={y + 4}>{escape(a.rung)}</text>")
        if a.drop is None:
            rows.append(f"<text class=fail x={_NAMES} y={y + 4}>{escape(a.reason)}</text>")
            continue
        ends = ((a.low or 0.0) - low, (a.high or 0.0) - low)
        rows.append(_bar(y, _NAMES + ends[0] * scale, (ends[1] - ends[0]) * scale, thick=4))
        rows.append(_bar(y, _NAMES + (a.drop - low) * scale - 1, 2, thick=14, dark=True))
        rows.append(f"<text x={_WIDTH + 8} y={y + 4}>{_verdict(a)}</text>")
    return f"<h3>{escape(v.variant)}</h3>{_svg(rows, height)}"


def _verdict(attempt: Attempt) -> str:
    return f"{attempt.drop:.2f} {'' if attempt.verdict == 'pending' else attempt.verdict}"


def _flips(name: str, found: Sequence[Flip]) -> str:
    if not found:
        return ""
    figures = "".join(
        f"<figure>{_image(f)}<figcaption>#{f.index}: {escape(f.source)} &rarr; {escape(f.variant)}"
        f"{f'<br>true: {escape(f.truth)}' if f.truth else ''}</figcaption></figure>"
        for f in found
    )
    return f"<h2>Answers that flipped: {escape(name)}</h2>{figures}"


def _image(flip: Flip) -> str:
    if not flip.png:
        return ""
    data = base64.b64encode(flip.png).decode()
    return f"<img alt='sample {flip.index}' src='data:image/png;base64,{data}'>"


def _span(y: int, start: float, end: float, most: float, *, thick: int, dark: bool = False) -> str:
    scale = (_WIDTH - _VARIANTS) / most
    return _bar(y, _VARIANTS + start * scale, (end - start) * scale, thick=thick, dark=dark)


def _bar(y: int, x: float, width: float, *, thick: int, dark: bool = False) -> str:
    colour = "currentColor" if dark else "var(--ours)"
    return (
        f"<rect x={x:.1f} y={y - thick / 2:.1f} height={thick} "
        f"width={max(1.0, width):.1f} fill='{colour}' />"
    )


def _text(y: int, left: str, right: str) -> str:
    return (
        f"<text x=0 y={y + 4}>{escape(left[:26])}</text>"
        f"<text x={_WIDTH + 8} y={y + 4}>{escape(right)}</text>"
    )


def _svg(rows: Sequence[str], height: int) -> str:
    drawn = "".join(rows)
    return f"<div class=wide><svg width={_WIDTH + 240} height={height} role=img>{drawn}</svg></div>"
