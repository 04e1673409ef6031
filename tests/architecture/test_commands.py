"""Commands and the pages about them cannot drift apart."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.core import TyperGroup

from edgekit.cli import reference
from edgekit.cli.app import build
from edgekit.cli.reference import Entry, entries

pytestmark = pytest.mark.integration

CHECKOUT = Path(__file__).resolve().parents[2]
README = (CHECKOUT / "README.md").read_text()
PAGE = CHECKOUT / "docs" / "commands.md"
PROGRAMS = ("edgekit", "edgekit-agent", "make", "python")
ENTRIES = entries()


def commands_of(text: str) -> Iterator[list[str]]:
    """Yield the words of every command in code blocks and inline code."""
    text = text.replace("\\\n", " ")
    parts = re.split(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    outside, kinds, blocks = "".join(parts[::3]), parts[1::3], parts[2::3]
    shells = [b for k, b in zip(kinds, blocks, strict=True) if k in {"", "sh"}]
    lines = [line for block in shells for line in block.splitlines()]
    lines += [code for code in re.findall(r"`([^`\n]+)`", outside) if " " in code]
    for line in lines:
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue  # a picture, not a command
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        if words and words[0] in PROGRAMS:
            end = words.index("||") if "||" in words else len(words)
            yield [word for word in words[:end] if word != "&"]


COMMANDS = list(commands_of(README))


def test_the_readme_shows_commands_of_every_program():
    assert {words[0] for words in COMMANDS} >= {"edgekit", "edgekit-agent", "make"}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_in_the_readme_exists_and_can_be_parsed(words):
    match words:
        case ["edgekit", *rest]:
            parse(rest)
        case ["edgekit-agent", *rest]:
            helped("edgekit.cli", "agent", *rest[:1])
        case ["make", recipe]:
            assert re.search(rf"^{recipe}:", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
        case ["python", "-m", module, *_]:
            helped(module)
        case _:
            pytest.fail(f"who checks {words}?")


def parse(words: list[str]) -> None:
    """Parse as the command line does, and run nothing."""
    root = build()
    context = root.make_context("edgekit", list(words))
    while isinstance(group := context.command, TyperGroup):
        name, *rest = [*context._protected_args, *context.args]
        command = group.get_command(context, name)
        assert command is not None, name
        context = command.make_context(name, rest, parent=context)


def helped(module: str, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, *words, "--help"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.path)
def test_every_command_has_help(entry: Entry):
    assert len(entry.summary.split()) >= 2


def test_the_page_of_commands_is_the_tree_of_commands():
    assert PAGE.read_text() == reference.page()


def test_the_readme_leads_to_every_group():
    groups = {entry.path.partition(" ")[0] for entry in ENTRIES}
    shown = {words[1] for words in COMMANDS if words[0] == "edgekit" and len(words) > 1}
    assert groups - {"agent", "demo"} <= shown
