"""The tree of commands: our own by module, others' by entry point, each loaded when called."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Annotated, cast

import typer
from typer.core import TyperGroup
from typer.main import get_command

from edgekit import __version__
from edgekit.cli.lazy import LazyCommand, Load, PassingCommand, PassOn
from edgekit.cli.plugins import find_plugins
from edgekit.errors import MissingExtraError, UsageError

GROUPS = {
    "release": "Publish releases, list them, withdraw them",
    "rollout": "Bring a release to devices in stages, watch it, stop it",
    "device": "See devices, let new ones in, label them",
    "access": "Accounts, tokens and the audit log of a server",
    "fleet": "Stop every offer at once; gateways",
    "experiment": "A/B experiments: releases side by side",
    "labels": "Labels that come later, and accuracy in the field",
    "keys": "Create signing keys and install trust on a server",
    "bundle": "Check bundle files",
}
AGENT = "edgekit-agent"
_PANEL = "Commands of the parts"


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code.

    Raises:
        EdgeKitError: The command failed on purpose; UsageError for what cannot be parsed.
    """
    try:
        code = build().main(arguments or ["--help"], prog_name="edgekit", standalone_mode=False)
    except typer.Abort:
        return 130
    except typer.TyperException as error:
        raise _as_usage_error(error) from error
    return code if isinstance(code, int) else 0


def build() -> TyperGroup:
    """Return the root of the tree, with every command that is installed."""
    root = cast("TyperGroup", get_command(_root()))
    for name, summary in GROUPS.items():
        root.add_command(LazyCommand(name, summary=summary, load=_module(name, "app")))
    root.add_command(
        LazyCommand(
            "bench", summary="Measure latency here, compare two", load=_module("bench", "app")
        )
    )
    root.add_command(
        PassingCommand("demo", summary="One model all the way, on this machine", load=_demo)
    )
    root.add_command(
        PassingCommand("agent", summary=f"The device's program, same as {AGENT}", load=_agent)
    )
    for plugin in find_plugins():
        if plugin.name not in root.commands:
            root.add_command(
                LazyCommand(plugin.name, summary=plugin.summary, load=plugin.load, panel=_PANEL)
            )
    return root


def _root() -> typer.Typer:
    app = typer.Typer(add_completion=False)

    @app.callback()
    def edgekit(
        version: Annotated[
            bool,
            typer.Option("--version", help="Print the version.", callback=_print_version),
        ] = False,
    ) -> None:
        """Convert trained models for edge devices, roll them out in stages, take them back."""

    return app


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"edgekit {__version__}")
        raise typer.Exit


def _module(name: str, attribute: str) -> Load:
    return lambda: getattr(importlib.import_module(f"edgekit.cli.{name}"), attribute)


def _demo() -> PassOn:
    main: PassOn = importlib.import_module("edgekit.demo").main
    return main


def _agent() -> PassOn:
    for entry in metadata.entry_points(group="console_scripts", name=AGENT):
        main: PassOn = entry.load()
        return main
    raise MissingExtraError(AGENT, "agent")


def _as_usage_error(error: typer.TyperException) -> UsageError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "edgekit"
    what = error.format_message().strip().rstrip(".")
    return UsageError(what, todo=f"see: {command} --help")
