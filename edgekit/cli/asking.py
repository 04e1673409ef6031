"""Commands that ask a fleet server: their options, the client, and how the answer is shown.

    @asks(app, "list", shows=_table)
    def list_rollouts(client: FleetClient) -> list[RolloutView]:
        "List every rollout."
        return client.rollouts()

The function says what is asked and `shows` prints it for people. The command that becomes of them
takes --server and --token-file as well, and --json when there is something to show.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, get_type_hints, overload

import typer

from edgekit.cli.options import AsJson, Server, TokenFile, connect
from edgekit.cli.output import print_json
from edgekit.client.http import FleetClient

P = ParamSpec("P")
T = TypeVar("T")
Ask = Callable[Concatenate[FleetClient, P], T]


def _option(name: str, annotation: object, default: object) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


_SHARED = (_option("server", Server, ""), _option("token_file", TokenFile, None))
_JSON = _option("as_json", AsJson, False)


@overload
def asks(
    app: typer.Typer, name: str | None = None, *, shows: Callable[[T], None]
) -> Callable[[Ask[P, T]], Ask[P, T]]: ...


@overload
def asks(app: typer.Typer, name: str | None = None) -> Callable[[Ask[P, None]], Ask[P, None]]: ...


def asks(
    app: typer.Typer, name: str | None = None, *, shows: Callable[[Any], None] | None = None
) -> Callable[[Ask[P, Any]], Ask[P, Any]]:
    """Make a function of a client and options a command of `app`; the function stays as it is.

    Args:
        app: The group that the command belongs to.
        name: Its word; the function's name when None.
        shows: Prints the answer for people; None when the function prints what there is to say.
    """

    def add(ask: Ask[P, Any]) -> Ask[P, Any]:
        app.command(name or ask.__name__.replace("_", "-"))(_command(ask, shows))
        return ask

    return add


def show_answer(answer: T, shows: Callable[[T], None], *, as_json: bool) -> None:
    """Print an answer for people, or as JSON."""
    if as_json:
        print_json(answer)
    else:
        shows(answer)


def _command(ask: Callable[..., T], shows: Callable[[T], None] | None) -> Callable[..., None]:
    def command(*, server: str, token_file: Path | None, **own: Any) -> None:  # noqa: ANN401
        as_json = shows is not None and own.pop(_JSON.name)
        with connect(server, token_file) as client:
            answer = ask(client, **own)
        if shows is not None:
            show_answer(answer, shows, as_json=as_json)

    options = [*_own(ask), *_SHARED, *((_JSON,) if shows is not None else ())]
    options.sort(key=lambda option: option.name == _JSON.name)
    command.__doc__ = ask.__doc__
    command.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    command.__annotations__ = {option.name: option.annotation for option in options}
    return command


def _own(ask: Callable[..., object]) -> list[inspect.Parameter]:
    """Return the parameters behind the client, with their annotations resolved."""
    hints = get_type_hints(ask, include_extras=True)
    _, *own = inspect.signature(ask).parameters.values()
    return [_option(p.name, hints[p.name], p.default) for p in own]
