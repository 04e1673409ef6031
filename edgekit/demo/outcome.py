"""What the demo expected and what it observed: rows of the closing table, and their JSON."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One expectation and what was seen of it.

    Attributes:
        chapter: Part of the story.
        expected: What must be seen.
        observed: What was seen.
        holds: Whether the two agree.
        numbers: Figures behind the row.
    """

    chapter: str
    expected: str
    observed: str
    holds: bool
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """The JSON of a whole run.

    Attributes:
        ok: Whether every row holds.
        seconds: Wall time of the run.
        rows: In the order of the story.
        ran: Release to the devices whose telemetry shows that they ran it.
    """

    ok: bool
    seconds: float
    rows: tuple[Row, ...]
    ran: dict[str, tuple[str, ...]]


def closing_table(result: DemoResult) -> Table:
    """Return the table of what was expected and what was observed."""
    table = Table(title="expected and observed", title_justify="left", expand=False)
    for name in ("", "chapter", "expected", "observed"):
        table.add_column(name, overflow="fold")
    for row in result.rows:
        mark = "[green]yes[/]" if row.holds else "[bold red]NO[/]"
        table.add_row(mark, row.chapter, row.expected, row.observed)
    return table


def ran_table(result: DemoResult) -> Table:
    """Return the table of the devices that ran each release."""
    table = Table(title="devices that ran each release", title_justify="left", expand=False)
    for name in ("release", "devices", "which"):
        table.add_column(name, overflow="fold")
    for release, devices in sorted(result.ran.items()):
        table.add_row(release, str(len(devices)), ", ".join(devices) or "nobody")
    return table
