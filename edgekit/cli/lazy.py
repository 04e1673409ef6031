"""Commands that are listed without being imported, and loaded when somebody calls them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command, get_group

if TYPE_CHECKING:
    from typer._click import Command
    from typer._click import Context as ClickContext

Load = Callable[[], object]
"""Returns a typer.Typer (a group of commands) or a function (one command)."""
PassOn = Callable[[list[str]], int]
"""Takes the arguments as they are and returns an exit code."""


class LazyCommand(TyperCommand):
    """Stands in the list of commands for one whose module is not imported yet.

    Args:
        name: Word on the command line.
        summary: One line for the list.
        load: Gets the real thing, on demand.
        panel: Heading in the list under which it stands.
    """

    def __init__(self, name: str, *, summary: str, load: Load, panel: str | None = None) -> None:
        super().__init__(name, help=summary, rich_help_panel=panel)
        self._load = load

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: ClickContext | None = None,
        **extra: Any,  # noqa: ANN401 (the parent's signature)
    ) -> ClickContext:
        """Load the real command and let it parse; from here on this one is out of the way."""
        return self.real().make_context(info_name, args, parent, **extra)

    def real(self) -> Command:
        """Load the command that this one stands for."""
        return as_command(self._load(), name=self.name or "", summary=self.help or "")


class PassingCommand(TyperCommand):
    """Hands every argument on, `--help` included, to a program with its own parser.

    Args:
        name: Word on the command line.
        summary: One line for the list.
        load: Gets the function that takes the arguments, on demand.
        panel: Heading in the list under which it stands.
    """

    ignore_unknown_options = True
    allow_extra_args = True
    allow_interspersed_args = False

    def __init__(
        self, name: str, *, summary: str, load: Callable[[], PassOn], panel: str | None = None
    ) -> None:
        super().__init__(name, help=summary, rich_help_panel=panel, add_help_option=False)
        self._load = load

    def parse_args(self, ctx: ClickContext, args: list[str]) -> list[str]:
        """Keep the arguments as they are."""
        ctx.args = args
        return args

    def invoke(self, ctx: ClickContext) -> None:
        """Call the program; its exit code is ours."""
        raise typer.Exit(self._load()(ctx.args))


def as_command(loaded: object, *, name: str, summary: str) -> Command:
    """Return the command for what an entry point or a module of ours gave.

    Args:
        loaded: A typer.Typer becomes a group, a function becomes one command.
        name: Word on the command line.
        summary: Kept when the group itself says nothing.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(loaded, typer.Typer):
        if not loaded.registered_callback and not isinstance(loaded.info.help, str):
            loaded.callback(help=summary)(_no_options)
        command: Command = get_group(loaded)
    elif callable(loaded):
        single = typer.Typer(add_completion=False)
        single.command(name)(loaded)
        command = get_command(single)
    else:
        raise TypeError(f"{name}: {loaded!r} is neither a typer.Typer nor a function")
    command.name = name
    return command


def _no_options() -> None:
    """Make a Typer with a single command a group all the same."""
