"""Every command with its help, as a page: `python -m edgekit.cli.reference > docs/commands.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from typer.core import TyperGroup

from edgekit.cli.app import build
from edgekit.cli.lazy import LazyCommand, PassingCommand

HEADER = """# Commands

Written by `python -m edgekit.cli.reference`; a test compares. `edgekit COMMAND --help` says more.
[Exit codes](exit-codes.md) are one list for all of them.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One command.

    Attributes:
        path: Words on the command line, without "edgekit".
        summary: First paragraph of its help.
        options: Names of its options and arguments.
        passing: True for a program with its own parser.
    """

    path: str
    summary: str
    options: tuple[str, ...]
    passing: bool = False


def entries() -> list[Entry]:
    """Return every command, groups resolved; loads the command modules, nothing heavy."""
    return [entry for name in sorted(build().commands) for entry in _walk(build(), name, "")]


def page() -> str:
    """Return the page."""
    lines = [HEADER]
    for entry in entries():
        lines.append(f"## edgekit {entry.path}\n\n{entry.summary}\n")
        if entry.options:
            lines.append(" ".join(f"`{option}`" for option in entry.options) + "\n")
    return "\n".join(lines)


def _walk(group: TyperGroup, name: str, above: str) -> Iterator[Entry]:
    command = group.commands[name]
    path = f"{above} {name}".strip()
    if isinstance(command, LazyCommand):
        command = command.real()
    if isinstance(command, TyperGroup):
        for below in sorted(command.commands):
            yield from _walk(command, below, path)
        return
    summary = " ".join((command.help or "").partition("\n\n")[0].split())
    words = [
        word
        for parameter in command.params
        for word in (parameter.opts[:1] if parameter.opts[0].startswith("-") else [parameter.name])
        if word
    ]
    yield Entry(
        path=path,
        summary=summary,
        options=tuple(words),
        passing=isinstance(command, PassingCommand),
    )


if __name__ == "__main__":
    sys.stdout.write(page())
