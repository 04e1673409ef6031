"""Runs the benchmarks: `python -m benchmarks [--full] [NAME ...]`."""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks.env import RESULTS, environment
from benchmarks.page import number, over_baseline
from edgekit.bench import Result, write_results
from edgekit.errors import EdgeKitError

Run = Callable[[bool], list[Result]]


def discover(names: Sequence[str] = ()) -> dict[str, Run]:
    """Return the benchmarks by name: modules here with a `run(short)`.

    Args:
        names: Only these; none means all.
    """
    found: dict[str, Run] = {}
    for module in pkgutil.iter_modules(benchmarks.__path__):
        if module.name.startswith("__") or (names and module.name not in names):
            continue
        run = getattr(importlib.import_module(f"benchmarks.{module.name}"), "run", None)
        if callable(run) and "short" in inspect.signature(run).parameters:
            found[module.name] = run
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run benchmarks, print a table each, keep the numbers; returns 1 if one could not run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="the long form")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    chosen = parser.parse_args(arguments)
    found = discover(chosen.names)
    unknown = sorted(set(chosen.names) - set(found))
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}")
    failed = [name for name, run in found.items() if not _run(name, run, short=not chosen.full)]
    return 1 if failed else 0


def _run(name: str, run: Run, *, short: bool) -> bool:
    before = environment()
    try:
        results = run(short)
    except EdgeKitError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return False
    if not results:
        sys.stderr.write(f"{name}: nothing to compare with here; see: make bench-peers\n")
        return True
    write_results(
        RESULTS / f"{name}.json",
        results,
        environment=before,
        short=short,
        measured_at=datetime.now(UTC).isoformat(timespec="minutes"),  # noqa: TID251 (composition root)
    )
    _print(results)
    return True


def _print(results: Sequence[Result]) -> None:
    table = Table(title=results[0].question, title_justify="left", box=None, pad_edge=False)
    for column in ("condition", "candidate", "median", "95 % interval", "n", "over baseline"):
        table.add_column(column)
    for result in results:
        table.add_row(*_cells(result))
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(table)


def _cells(result: Result) -> tuple[str, ...]:
    s = result.summary
    return (
        result.condition,
        result.candidate,
        f"{number(s.median)} {s.unit}",
        f"{number(s.interval.low)} to {number(s.interval.high)}",
        str(s.count),
        over_baseline(result) or "baseline",
    )


if __name__ == "__main__":
    sys.exit(main())
