"""Writes docs/benchmarks.md from the results, and its pictures beside it.

`python -m benchmarks.page > docs/benchmarks.md`. A page is only as true as its results: it says of
each when, on what, from which commit and how busy the machine was.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.catalogue import benchmark
from benchmarks.env import CHECKOUT, RESULTS
from benchmarks.parts import when
from benchmarks.pictures import PICTURES
from benchmarks.tables import every_row, short_tables
from benchmarks.targets import TARGETS, Standing, standing
from edgekit import codec
from edgekit.bench.result import ResultFile
from edgekit.bench.svg import number

HEADER = """# Benchmarks

Written by `python -m benchmarks.page` from `benchmarks/results`; `make bench` measures the short
form of everything again. Every number stands beside a baseline from the same run. A ratio is ours
over the baseline; intervals are of 95 % and stand with every row.
"""
FOLDER = CHECKOUT / "docs" / "pictures"
LONG = 24
"""A table of more rows is folded."""
BUSY = 0.15
"""Share of the machine in other programs' hands above which a run is marked."""
BUSY_LOAD = 0.5
"""Load average a core above which an older result is marked; it knows no better."""
AREAS = {
    "The device": (
        "agent_footprint",
        "agent_http",
        "agent_http_peers",
        "inference_overhead",
        "swap_under_load",
        "agent_delta",
    ),
    "Conversion": (
        "conversion",
        "conversion_peers",
        "mobilenet_conversion",
        "calibration_memory",
        "int8_accuracy",
        "int8_latency",
    ),
    "The fleet": ("polls", "returning", "telemetry", "fleet_growth", "growth"),
    "Rollouts": ("rollout_exposure", "gate_power"),
}
"""Benchmarks by what they are about; those of no area come last."""


def page(files: Sequence[ResultFile]) -> str:
    """Return the page."""
    parts = [HEADER, *_promised(files), *_machines(files)]
    for area, names in _areas(files).items():
        parts.append(f"## {area}\n")
        parts += [_section(names[name]) for name in names]
    return "\n".join(parts).rstrip() + "\n"


def pictures(files: Sequence[ResultFile]) -> dict[str, str]:
    """Return the pictures of the page by the names of their files."""
    return {f"{f.name}.svg": PICTURES[f.name](f) for f in files if f.name in PICTURES}


def read_results(folder: Path = RESULTS) -> list[ResultFile]:
    """Return every result in a folder, by name; what is of one machine only is left out.

    Raises:
        FormatError: A file is no result.
    """
    paths = sorted(p for p in folder.glob("*.json") if not p.name.endswith(".local.json"))
    return [codec.decode(p.read_bytes(), ResultFile, where=str(p)) for p in paths]


def _areas(files: Sequence[ResultFile]) -> dict[str, dict[str, ResultFile]]:
    rest = {file.name: file for file in files}
    found = {
        area: {name: rest.pop(name) for name in names if name in rest}
        for area, names in AREAS.items()
    }
    return {area: names for area, names in {**found, "More": rest}.items() if names}


def _promised(files: Sequence[ResultFile]) -> Iterator[str]:
    """Yield the table of targets, the worst of the rows that each is about."""
    found = [standing(target, files) for target in TARGETS]
    kept = sum(one.kept is True for one in found)
    missed = sum(one.kept is False for one in found)
    yield "## What was promised, and what was measured\n"
    yield f"{kept} of {len(found)} reached, {missed} missed; each line is the worst of its rows.\n"
    yield "| what | wanted | measured | | benchmark |\n|---|---:|---:|---|---|"
    yield from (_standing(one) for one in found)
    yield ""


def _standing(found: Standing) -> str:
    target = found.target
    unit = f" {target.unit}" if target.unit else ""
    wanted = f"{target.bound.value} {number(target.limit)}{unit}"
    reached, kept = "not measured", ""
    if found.reached is not None:
        reached = f"{number(found.reached)}{unit}"
        kept = "reached" if found.kept else "**missed**"
    where = f"[{target.benchmark}](#{target.benchmark})"
    return f"| {target.what} | {wanted} | {reached} | {kept} | {where} |"


def _machines(files: Sequence[ResultFile]) -> Iterator[str]:
    """Yield on what each was measured, and how busy it was with other things."""
    yield "## When and on what it was measured\n"
    for told, names in _told_by_machine(files).items():
        yield f"{', '.join(f'`{name}`' for name in names)}: {told}.\n"
    yield "Other programs: cores that they kept busy just before or after the run, the larger; for"
    yield "older results the load average, which holds the benchmark before, too.\n"
    yield "| benchmark | form | measured | commit | took | other programs |"
    yield "|---|---|---|---|---:|---|"
    for file in files:
        took = "" if file.took_s is None else f"{file.took_s:.0f} s"
        yield (
            f"| [{file.name}](#{file.name}) | {'short' if file.short else 'full'} | "
            f"{_when(file)} | {file.environment.commit or 'unknown'} | "
            f"{took} | {_others(file)} |"
        )
    yield ""


def _when(file: ResultFile) -> str:
    kept = {row.kept_from for row in file.results} - {""}
    return "; some rows: ".join([when(file), *sorted(kept)])


def _told_by_machine(files: Sequence[ResultFile]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for file in files:
        e = file.environment
        packages = ", ".join(f"{name} {version}" for name, version in sorted(e.packages.items()))
        governor = f", governor {e.governor}" if e.governor else ""
        told = f"{e.cpu or e.arch}, {e.cores} cores{governor}, {e.system}, Python {e.python}"
        found.setdefault(f"{told}; {packages}", []).append(file.name)
    return found


def _others(file: ResultFile) -> str:
    mark = " **busy**" if _busy(file) else ""
    if file.other_load is None:
        return f"load {file.environment.load:.1f}{mark}"
    return f"{file.other_load:.2f} cores{mark}"


def _busy(file: ResultFile) -> bool:
    machine = file.environment
    if file.other_load is None:
        return machine.load > BUSY_LOAD * machine.cores
    return file.other_load > BUSY * machine.cores


def _section(file: ResultFile) -> str:
    about = benchmark(file.name)
    lines = [f'<a id="{file.name}"></a>', f"### {about.question if about else file.name}", ""]
    lines += [about.how if about else "", ""]
    if _busy(file):
        lines += [
            "**The machine was busy with other things:** times of this run may be too long.",
            "",
        ]
    if file.name in PICTURES:
        lines += [f"![{about.question if about else ''}](pictures/{file.name}.svg)", ""]
    shown = getattr(importlib.import_module(f"benchmarks.{file.name}"), "SHOWN", {})
    tables = short_tables(file.results, shown)
    for title, table in tables:
        lines += ([f"**{title}**", ""] if title else []) + [*table, ""]
    rows = every_row(file.results)
    lines += _folded(rows) if tables or len(rows) - 2 > LONG else rows
    return "\n".join([*lines, ""])


def _folded(table: list[str]) -> list[str]:
    """Return a table behind a line that opens it."""
    summary = f"<summary>{len(table) - 2} rows with intervals</summary>"
    return ["<details>", summary, "", *table, "", "</details>"]


def _main() -> None:
    files = read_results()
    FOLDER.mkdir(exist_ok=True)
    for name, picture in pictures(files).items():
        (FOLDER / name).write_text(picture)
    sys.stdout.write(page(files))


if __name__ == "__main__":
    _main()
