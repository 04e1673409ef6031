"""Writes docs/benchmarks.md from the results: `python -m benchmarks.page > docs/benchmarks.md`.

A page is only as true as its results: each section says when, on what and from which commit.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.env import RESULTS
from benchmarks.targets import TARGETS, Standing, standing
from edgekit import codec
from edgekit.bench import Result
from edgekit.bench.result import ResultFile

HEADER = """# Benchmarks

Written by `python -m benchmarks.page` from `benchmarks/results`; `make bench` measures the short
form of everything again. Every number stands beside a baseline from the same run, with a 95 %
interval. A ratio is ours over the baseline.
"""
LONG = 24
"""A table of more rows is folded."""
BUSY = 0.5
"""Load average per core above which a run is marked."""


def page(files: Sequence[ResultFile]) -> str:
    """Return the page."""
    parts = [HEADER, *_summary(files), *(_section(file) for file in files)]
    return "\n".join(parts).rstrip() + "\n"


def read_results(folder: Path = RESULTS) -> list[ResultFile]:
    """Return every result in a folder, by name; what is of one machine only is left out.

    Raises:
        FormatError: A file is no result.
    """
    paths = sorted(p for p in folder.glob("*.json") if not p.name.endswith(".local.json"))
    return [codec.decode(p.read_bytes(), ResultFile, where=str(p)) for p in paths]


def number(value: float) -> str:
    """Return a number to four digits, large ones whole."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def over_baseline(result: Result) -> str:
    """Return the ratio with its interval."""
    if result.ratio is None:
        return ""
    found = result.ratio
    return f"{found.value:.3g} ({found.interval.low:.3g} to {found.interval.high:.3g})"


def _summary(files: Sequence[ResultFile]) -> list[str]:
    """Return the table of targets, the worst of the rows that each is about."""
    names = {file.name for file in files}
    found = [standing(target, files) for target in TARGETS if target.benchmark in names]
    if not found:
        return []
    rows = [
        "## What was promised, and what was measured",
        "",
        "| what | wanted | measured | |",
        "|---|---:|---:|---|",
    ]
    rows += [_standing(one) for one in found]
    return [*rows, "", "Each line is the worst of the rows below that it is about.", ""]


def _standing(found: Standing) -> str:
    target = found.target
    unit = f" {target.unit}" if target.unit else ""
    wanted = f"{target.bound.value} {number(target.limit)}{unit}"
    if found.reached is None:
        return f"| {target.what} | {wanted} | not measured | |"
    kept = "reached" if found.kept else "**missed**"
    return f"| {target.what} | {wanted} | {number(found.reached)}{unit} | {kept} |"


def _folded(table: list[str]) -> list[str]:
    """Return a table, behind a line that opens it when it is long."""
    count = len(table) - 2
    if count <= LONG:
        return table
    return ["<details>", f"<summary>{count} rows</summary>", "", *table, "", "</details>"]


def _section(file: ResultFile) -> str:
    about = inspect.getdoc(importlib.import_module(f"benchmarks.{file.name}")) or file.name
    question, _, how = about.partition("\n\n")
    machine = file.environment
    busy = " **The machine was busy.**" if machine.load > BUSY * machine.cores else ""
    lines = [
        f"## {' '.join(question.split())}",
        "",
        how,
        "",
        f"{'Short' if file.short else 'Full'} form, {file.measured_at or 'date unknown'}, "
        f"commit {machine.commit or 'unknown'}; {machine.cpu or machine.arch}, {machine.cores} "
        f"cores, load {machine.load:.1f}, {machine.system}, Python {machine.python}, "
        f"{', '.join(f'{k} {v}' for k, v in sorted(machine.packages.items()))}.{busy}",
        "",
        *_folded(_table(file.results)),
        "",
    ]
    return "\n".join(lines)


def _table(results: Iterable[Result]) -> list[str]:
    rows = [
        "| condition | candidate | median | 95 % interval | n | over baseline | beside |",
        "|---|---|---:|---|---:|---|---|",
    ]
    for r in results:
        s = r.summary
        beside = ", ".join(f"{k.replace('_', ' ')} {number(v)}" for k, v in r.numbers.items())
        rows.append(
            f"| {r.condition} | {r.candidate} | {number(s.median)} {s.unit} | "
            f"{number(s.interval.low)} to {number(s.interval.high)} | {s.count} | "
            f"{over_baseline(r)} | {beside} |"
        )
    return rows


if __name__ == "__main__":
    sys.stdout.write(page(read_results()))
