"""What commands print: tables for people, JSON for machines. Asks nobody anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgekit import codec

_WIDE = 200


def print_json(value: object) -> None:
    """Print a dataclass, or a list of them, as one line of canonical JSON."""
    typer.echo(codec.encode(value).decode())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under headings; a pipe gets the full width, nothing is cut there."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text, not markup: names of devices and models may hold brackets.
        table.add_row(*(Text(_cell(cell)) for cell in row))
    console().print(table)


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names with their values, one a line."""
    print_table(("", ""), pairs)


def say(line: str) -> None:
    """Print one line for people."""
    typer.echo(line)


def console() -> Console:
    """Return the terminal, or a wide page where there is none."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=_WIDE)


def joined(pairs: dict[str, str]) -> str:
    """Return pairs as "key=value" words, sorted."""
    return " ".join(f"{key}={value}" for key, value in sorted(pairs.items()))


def counted(counts: dict[str, int]) -> str:
    """Return counts as "12 committed, 1 reverted", the largest first."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name}" for name, count in ranked)


def short(digest: str) -> str:
    """Return the first digits of a digest, enough to compare by eye."""
    return digest[:12]


def when(stamp: str | None) -> str:
    """Return a time of the server to the second, or "-"."""
    return stamp[:19].replace("T", " ") if stamp else "-"


def _cell(value: object) -> str:
    match value:
        case None | "":
            return "-"
        case float():
            return f"{value:.3g}"
        case _:
            return str(value)
