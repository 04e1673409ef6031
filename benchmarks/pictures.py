"""Pictures of the results that a table tells badly, as SVG files that stand alone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgekit.bench.result import ResultFile
from edgekit.bench.svg import Bar, Span, bar_chart, span_chart

STYLE = """
:root { --ink: #1d2430; --soft: #5b6675; --line: #dfe4ea; --blue: #2563b0; --warn: #9a5b00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9f0; --soft: #9aa6b5; --line: #303846;
  --blue: #6ea8f0; --warn: #f0b35a; } }
text { font: 11px system-ui, sans-serif; fill: var(--soft); }
.end, .name { text-anchor: end; } .middle, .axis { text-anchor: middle; }
.name { fill: var(--ink); } .grid { stroke: var(--line); } .base { stroke: var(--soft); }
.bar, .point { fill: var(--blue); } .span { stroke: var(--blue); stroke-width: 2; }
.mark { stroke: var(--warn); stroke-dasharray: 4 3; }
"""


def exposure(file: ResultFile) -> str:
    """Return how many devices ever ran each bad release, by rule."""
    bars = [
        Bar(
            name=f"{_few(row.condition)}: {_rule(row.candidate)}",
            value=row.summary.median,
            hint=f"{row.condition}, {row.candidate}",
        )
        for row in file.results
        if row.condition != "good"
    ]
    return alone(bar_chart("Devices of 10,000 that ever ran it", bars, unit="devices"))


def exponents(file: ResultFile) -> str:
    """Return the exponent of each cost with its interval; 1 is linear."""
    spans = [
        Span(
            name=_few(row.condition.partition(",")[0]),
            low=row.summary.interval.low,
            value=row.summary.median,
            high=row.summary.interval.high,
        )
        for row in file.results
    ]
    return alone(span_chart("Growth of each cost", spans, x="exponent of time over work", at=1.0))


def alone(svg: str) -> str:
    """Return a chart as a file of its own: with its namespace and its colours."""
    head, rest = svg.split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{STYLE}</style>{rest}\n'


def _few(text: str) -> str:
    """Return a condition without its details, for the margin of a chart."""
    return text.partition(" on ")[0].partition(" after ")[0]


def _rule(name: str) -> str:
    return name.replace("'s rule,", "").removesuffix(" errors")


PICTURES: Mapping[str, Callable[[ResultFile], str]] = {
    "growth": exponents,
    "rollout_exposure": exposure,
}
"""By benchmark."""
