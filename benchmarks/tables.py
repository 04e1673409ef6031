"""Results as short Markdown tables: candidates side by side, or every row as it is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise

from edgekit.bench import Result
from edgekit.bench.svg import number

SIDE_BY_SIDE = 5
"""More columns than this nobody reads."""
LINES = 12
"""Numbers beside the median are shown while a table stays this short."""

Table = list[str]


def over_baseline(result: Result) -> str:
    """Return the ratio with its interval."""
    if result.ratio is None:
        return ""
    found = result.ratio
    return f"{found.value:.3g} ({found.interval.low:.3g} to {found.interval.high:.3g})"


def every_row(results: Sequence[Result]) -> Table:
    """Return every result with its interval, its count and what else was observed."""
    head = ["condition", "candidate", "median", "95 % interval", "n", "over baseline", "beside"]
    rows = []
    for r in results:
        s = r.summary
        interval = f"{number(s.interval.low)} to {number(s.interval.high)}"
        told = [f"{_words(name)} {number(value)}" for name, value in r.numbers.items()]
        beside = ", ".join([*told, *([f"run of {r.kept_from}"] if r.kept_from else [])])
        row = [r.condition, r.candidate, _measured(r), interval, str(s.count), over_baseline(r)]
        rows.append([*row, beside])
    return _table(head, rows, right=(2, 4))


def short_tables(results: Sequence[Result], shown: Mapping[str, str]) -> list[tuple[str, Table]]:
    """Return what matters as (title, table); empty where the rows do not fit side by side.

    Args:
        results: Of one benchmark.
        shown: Titles, and patterns of the conditions that each is about; empty for one table of
            all. What a pattern says literally is not repeated in the table.
    """
    tables = []
    for title, pattern in (shown or {"": "*"}).items():
        rows = [r for r in results if fnmatchcase(r.condition, pattern)]
        table = _side_by_side(rows, pattern) or _pairs(rows)
        if table:
            tables.append((title, table))
    return tables


def _side_by_side(results: Sequence[Result], pattern: str) -> Table:
    """Return one line a condition, or one a candidate, whichever makes the table narrow enough."""
    cells = {(r.condition, r.candidate): r for r in results}
    conditions = list(dict.fromkeys(r.condition for r in results))
    candidates = list(dict.fromkeys(r.candidate for r in results))
    if 2 * len(cells) < len(conditions) * len(candidates):
        return []
    if len(candidates) <= SIDE_BY_SIDE:
        rows = [[c, *(_cell(cells.get((c, name))) for name in candidates)] for c in conditions]
        rows += _numbers(cells, conditions, candidates, room=LINES - len(rows))
        return _table(["", *candidates], rows)
    if len(conditions) <= SIDE_BY_SIDE:
        rows = [[name, *(_cell(cells.get((c, name))) for c in conditions)] for name in candidates]
        return _table(["", *(_without(c, pattern) for c in conditions)], rows)
    return []


def _numbers(
    cells: Mapping[tuple[str, str], Result],
    conditions: Sequence[str],
    candidates: Sequence[str],
    *,
    room: int,
) -> list[list[str]]:
    """Return lines of the numbers beside the median that fit; none where they do not."""
    rows = []
    for condition in conditions:
        beside = [cells[condition, c].numbers for c in candidates if (condition, c) in cells]
        for name in dict.fromkeys(name for numbers in beside for name in numbers):
            values = [
                cells[condition, c].numbers.get(name) if (condition, c) in cells else None
                for c in candidates
            ]
            texts = ["" if value is None else number(value) for value in values]
            rows.append([f"{condition}: {_words(name)}", *texts])
    return rows if len(rows) <= room else []


def _pairs(results: Sequence[Result]) -> Table:
    """Return one line for each result that has a baseline in the line before it."""
    rows = []
    for base, ours in pairwise(results):
        if base.ratio is None and ours.ratio is not None and base.condition == ours.condition:
            beside = f"{base.candidate}: {_measured(base)}"
            ours_text = f"{ours.candidate}: {_measured(ours)}"
            rows.append([ours.condition, beside, ours_text, over_baseline(ours)])
    return _table(["", "baseline", "ours", "ours over baseline"], rows) if rows else []


def _cell(result: Result | None) -> str:
    if result is None:
        return ""
    ratio = "" if result.ratio is None else f" ({result.ratio.value:.3g}x)"
    return _measured(result) + ratio


def _measured(result: Result) -> str:
    return f"{number(result.summary.median)} {result.summary.unit}".strip()


def _words(name: str) -> str:
    return name.replace("_", " ")


def _without(text: str, pattern: str) -> str:
    """Return what the wildcard of a pattern stands for; the whole text where it has no one."""
    before, _, after = pattern.partition("*")
    return text.removeprefix(before).removesuffix(after).strip(" ,:") or text


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()
) -> Table:
    rule = ["---:" if place in right else "---" for place in range(len(head))]
    lines = [head, rule, *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
