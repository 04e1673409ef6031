"""Small charts as SVG text: dots, lines, bars, intervals. Pure; colours come from the page's CSS.

Every chart has a title that screen readers read and hints that a mouse shows; nothing is fetched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 680, 230
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 12, 40
_ROW = 24

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Maps values in [low, high] to pixels in [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value; values outside go to the edge."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A named value with a hint."""

    name: str
    value: float
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A named value with its interval."""

    name: str
    low: float
    value: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A line across a chart at one value of the horizontal axis."""

    name: str
    at: float


def number(value: float) -> str:
    """Return a number as people read it: to four digits, large ones whole."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round values within [low, high], about so many."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * s for s in (1, 2, 5, 10) if power * s >= rough * 0.999)
    first = math.ceil(low / step)
    return [i * step for i in range(first, math.floor(high / step * (1 + 1e-12)) + 1)]


def time_chart(
    title: str, dots: Sequence[Point], line: Sequence[Point], *, x: str, y: str, top: float
) -> str:
    """Return measurements over time as dots, with a line of block medians through them.

    Args:
        title: What it shows.
        dots: (when, value).
        line: (when, value).
        x: Name of the horizontal axis with its unit.
        y: Name of the vertical axis with its unit.
        top: Highest value shown; higher ones sit at the edge.
    """
    across = _across([p[0] for p in (*dots, *line)])
    up = Scale(low=0.0, high=max(top, 1e-9), start=HEIGHT - BOTTOM, end=TOP)
    marks = "".join(f'<circle cx="{across(a)}" cy="{up(b)}" r="1.6"/>' for a, b in dots)
    path = " ".join(f"{across(a)},{up(b)}" for a, b in line)
    body = f'<g class="dots">{marks}</g><polyline class="line" points="{path}"/>'
    return _framed(title, _axes(across, up, x=x, y=y) + body, HEIGHT)


def histogram(
    title: str, bins: Sequence[tuple[float, float, int]], marks: Sequence[Mark], *, x: str
) -> str:
    """Return counts over a value: bins are (low, high, count)."""
    across = _across([edge for low, high, _ in bins for edge in (low, high)])
    most = max((count for _, _, count in bins), default=1)
    up = Scale(low=0.0, high=float(most), start=HEIGHT - BOTTOM, end=TOP)
    bars = "".join(
        f'<rect class="bar" x="{across(low)}" y="{up(count)}" '
        f'width="{max(0.5, across(high) - across(low) - 1):.1f}" '
        f'height="{up(0) - up(count):.1f}">'
        f"<title>{low:.4g} to {high:.4g}: {count}</title></rect>"
        for low, high, count in bins
    )
    lines = "".join(_mark(mark, across, index) for index, mark in enumerate(marks))
    return _framed(title, _axes(across, up, x=x, y="queries") + bars + lines, HEIGHT)


def bar_chart(title: str, bars: Sequence[Bar], *, unit: str) -> str:
    """Return named horizontal bars, in the order given."""
    height = TOP + _ROW * len(bars) + 4
    across = Scale(
        low=0.0,
        high=max((b.value for b in bars), default=1.0) or 1.0,
        start=LEFT + 150,
        end=WIDTH - 90,
    )
    rows = "".join(
        f'<text class="name" x="{LEFT + 142}" y="{TOP + _ROW * i + 15}">{_short(bar.name)}</text>'
        f'<rect class="bar" x="{across(0)}" y="{TOP + _ROW * i + 3}" height="{_ROW - 8}" '
        f'width="{max(1.0, across(bar.value) - across(0)):.1f}">'
        f"<title>{escape(bar.hint or bar.name)}</title></rect>"
        f'<text class="value" x="{across(bar.value) + 6}" y="{TOP + _ROW * i + 15}">'
        f"{number(bar.value)} {escape(unit)}</text>"
        for i, bar in enumerate(bars)
    )
    return _framed(title, rows, height)


def span_chart(title: str, spans: Sequence[Span], *, x: str, at: float | None = None) -> str:
    """Return values with their intervals on one axis, and a line at a value that matters."""
    height = TOP + _ROW * len(spans) + BOTTOM
    ends = [e for s in spans for e in (s.low, s.high)] + ([at] if at is not None else [])
    wide = (max(ends) - min(ends)) * 0.08 or abs(max(ends)) * 0.05 or 1.0
    across = Scale(low=min(ends) - wide, high=max(ends) + wide, start=LEFT + 150, end=WIDTH - RIGHT)
    rows = "".join(_span(span, across, TOP + _ROW * i + 12) for i, span in enumerate(spans))
    line = ""
    if at is not None:
        line = (
            f'<line class="mark" x1="{across(at)}" x2="{across(at)}" y1="{TOP}" '
            f'y2="{height - BOTTOM}"/>'
        )
    return _framed(title, _bottom(across, height - BOTTOM, x) + line + rows, height)


def _span(span: Span, across: Scale, y: int) -> str:
    hint = f"{span.name}: {span.value:.4g} ({span.low:.4g} to {span.high:.4g})"
    return (
        f'<text class="name" x="{LEFT + 142}" y="{y + 4}">{_short(span.name)}</text>'
        f'<line class="span" x1="{across(span.low)}" x2="{across(span.high)}" y1="{y}" y2="{y}"/>'
        f'<circle class="point" cx="{across(span.value)}" cy="{y}" r="4.5">'
        f"<title>{escape(hint)}</title></circle>"
    )


def _across(values: Sequence[float]) -> Scale:
    low, high = min(values, default=0.0), max(values, default=1.0)
    return Scale(low=low, high=high if high > low else low + 1.0, start=LEFT, end=WIDTH - RIGHT)


def _axes(across: Scale, up: Scale, *, x: str, y: str) -> str:
    lines = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(v)}" y2="{up(v)}"/>'
        f'<text class="value end" x="{LEFT - 6}" y="{up(v) + 4}">{v:.4g}</text>'
        for v in ticks(up.low, up.high, 4)
    )
    middle = (TOP + HEIGHT - BOTTOM) / 2
    name = (
        f'<text class="axis" x="14" y="{middle}" transform="rotate(-90 14 {middle})">'
        f"{escape(y)}</text>"
    )
    return lines + name + _bottom(across, HEIGHT - BOTTOM, x)


def _bottom(across: Scale, y: int, name: str) -> str:
    marks = "".join(
        f'<text class="value middle" x="{across(v)}" y="{y + 16}">{v:.4g}</text>'
        for v in ticks(across.low, across.high, 6)
    )
    middle = (across.start + across.end) / 2
    line = f'<line class="base" x1="{across.start}" x2="{across.end}" y1="{y}" y2="{y}"/>'
    return f'{line}{marks}<text class="axis" x="{middle}" y="{y + 33}">{escape(name)}</text>'


def _mark(mark: Mark, across: Scale, index: int) -> str:
    x = across(mark.at)
    side = "end" if x > (LEFT + WIDTH) / 2 else ""
    return (
        f'<line class="mark" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text class="value {side}" x="{x + (-4 if side else 4)}" y="{TOP + 12 + 14 * index}">'
        f"{escape(mark.name)}</text>"
    )


def _short(name: str, length: int = 30) -> str:
    shown = name if len(name) <= length else "…" + name[-(length - 1) :]
    return escape(shown)


def _framed(title: str, body: str, height: int) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{body}</svg>"
    )
