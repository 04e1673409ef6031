"""edgekit device parameters: what is set for a model on one device, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgekit import codec
from edgekit.cli.options import AsJson, Server, TokenFile, connect
from edgekit.cli.output import print_json, print_table, say, short, when
from edgekit.client.wire.parameters import ParametersView
from edgekit.errors import StorageError

app = typer.Typer(help="Set parameters of a model on one device, and take them back.")
Device = Annotated[str, typer.Argument(help="Id of the device.")]
Model = Annotated[str, typer.Argument(help="Name of the model.")]
Values = Annotated[str, typer.Argument(help='File with a JSON object, or the object: {"a": 1}')]


@app.command("set")
def set_parameters(
    device: Device,
    model: Model,
    values: Values,
    server: Server = "",
    token_file: TokenFile = None,
) -> None:
    """Set all parameters of a model on a device; {} for the defaults of its release."""
    given = _read(values)
    with connect(server, token_file) as client:
        view = client.set_parameters(device, model, given)
    _say(view)


@app.command()
def show(
    device: Device, server: Server = "", token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """Show what is set on a device, and what the device made of it."""
    with connect(server, token_file) as client:
        views = client.parameters(device)
    return print_json(views) if as_json else _table(views)


@app.command()
def history(
    device: Device,
    model: Model,
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Show every version of a model's parameters on a device."""
    with connect(server, token_file) as client:
        views = client.parameter_history(device, model)
    return print_json(views) if as_json else _table(views)


@app.command()
def back(
    device: Device,
    model: Model,
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Set again what held before the present version; in the end the defaults."""
    with connect(server, token_file) as client:
        view = client.parameters_back(device, model)
    return print_json(view) if as_json else _say(view)


def _read(given: str) -> dict[str, Any]:
    if given.lstrip().startswith("{"):
        return codec.decode(given.encode(), dict[str, Any], where="parameters")
    try:
        data = Path(given).read_bytes()
    except OSError as error:
        raise StorageError(f"cannot be read ({error.strerror})", where=given) from error
    return codec.decode(data, dict[str, Any], where=given)


def _say(view: ParametersView) -> None:
    say(f"{view.device}: {view.model} parameters {view.version}, {_text(view)}")


def _text(view: ParametersView) -> str:
    return codec.encode(view.values).decode() if view.values else "defaults"


def _table(views: list[ParametersView]) -> None:
    print_table(
        ("model", "version", "set", "by", "parameters", "state", "sha256", "detail"),
        (
            (
                *(v.model, v.version, when(v.at), v.by, _text(v)),
                *(v.state, short(v.digest), v.detail),
            )
            for v in views
        ),
    )
