"""What a run of some parts of a benchmark leaves standing of the run before. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from edgekit.bench import Result
from edgekit.bench.result import ResultFile


def joined(
    measured: Sequence[Result], before: ResultFile | None, left_out: Callable[[str], bool]
) -> list[Result]:
    """Return what was measured with the earlier rows that it was not asked for.

    Conditions keep the order that they had; new ones come last. A kept row says where it is from.

    Args:
        measured: Rows of this run.
        before: The file that it replaces; None where there is none.
        left_out: Says of a condition whether it is of a part that this run was not asked for.
    """
    if before is None:
        return list(measured)
    kept = [
        replace(row, kept_from=row.kept_from or run_of(before))
        for row in before.results
        if left_out(row.condition)
    ]
    places = {row.condition: place for place, row in reversed([*enumerate(before.results)])}
    rows = [*kept, *measured]
    return sorted(rows, key=lambda row: places.get(row.condition, len(before.results)))


def run_of(file: ResultFile) -> str:
    """Return date and commit of a run, for people."""
    return f"{when(file)}, {file.environment.commit or 'unknown'}"


def when(file: ResultFile) -> str:
    """Return the date of a run, for people."""
    return file.measured_at.replace("T", " ").replace("+00:00", " UTC") or "date unknown"
