"""Runs the benchmarks: `python -m benchmarks [--list] [--full] [NAME ...]`.

One that fails does not stop the others: it is named again at the end, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.catalogue import Benchmark, discover
from benchmarks.env import RESULTS, environment, other_load
from benchmarks.parts import joined
from benchmarks.tables import over_baseline
from edgekit import codec
from edgekit.bench import Result, write_results
from edgekit.bench.result import ResultFile
from edgekit.bench.svg import number
from edgekit.errors import EdgeKitError

FAILED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run benchmarks, print a table each, keep the numbers; returns 1 if one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the questions and end")
    parser.add_argument("--full", action="store_true", help="the long form")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these")
    chosen = parser.parse_args(arguments)
    found = discover()
    unknown = sorted(set(chosen.names) - {one.name for one in found})
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; see --list")
    wanted = [one for one in found if one.name in chosen.names or not chosen.names]
    if chosen.list:
        return _list(wanted)
    for one in [one for one in wanted if one.alone and not chosen.names]:
        _say(f"{one.name}: only by name: {one.alone}")
        wanted.remove(one)
    return _run_all(wanted, short=not chosen.full)


def _list(wanted: Sequence[Benchmark]) -> int:
    width = max(len(one.name) for one in wanted)
    for one in wanted:
        sys.stdout.write(f"{one.name:<{width}}  {one.question}\n")
    return 0


def _run_all(wanted: Sequence[Benchmark], *, short: bool) -> int:
    began = time.perf_counter()
    failures: list[str] = []
    for place, one in enumerate(wanted, 1):
        started = time.perf_counter()
        _say(f"{place}/{len(wanted)} {one.name} ...")
        failure = _tried(one, short=short)
        took_s = time.perf_counter() - started
        _say(f"{place}/{len(wanted)} {one.name} {'failed, ' if failure else ''}{took_s:.0f} s")
        if failure:
            failures.append(f"{one.name}: {failure}")
    _say(f"{len(wanted) - len(failures)} of {len(wanted)}, {time.perf_counter() - began:.0f} s")
    for failure in failures:
        _say(f"failed: {failure}")
    return FAILED if failures else 0


def _tried(one: Benchmark, *, short: bool) -> str:
    """Run one and return why it failed; empty when it did not."""
    try:
        _run(one, short=short)
    except subprocess.CalledProcessError as error:
        said = error.stderr or b""
        lines = (said if isinstance(said, str) else said.decode(errors="replace")).split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "and said nothing")
        return f"a process ended with code {error.returncode}: {last.strip()}"
    except EdgeKitError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 (one that fails must not stop the others)
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""


def _run(one: Benchmark, *, short: bool) -> None:
    machine, before = environment(), other_load()
    began = time.perf_counter()
    results = one.run(short)
    took_s = time.perf_counter() - began
    if not results:
        _say(f"{one.name}: nothing to compare with here; see: make bench-peers")
        return
    loads = [load for load in (before, other_load()) if load is not None]
    path = RESULTS / f"{one.name}.json"
    write_results(
        path,
        joined(results, _before(path), one.left_out),
        environment=machine,
        short=short,
        measured_at=datetime.now(UTC).isoformat(timespec="minutes"),  # noqa: TID251 (composition root)
        took_s=took_s,
        other_load=max(loads, default=None),
    )
    _print(results)


def _before(path: Path) -> ResultFile | None:
    if not path.exists():
        return None
    return codec.decode(path.read_bytes(), ResultFile, where=str(path))


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


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
