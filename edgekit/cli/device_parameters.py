"""edgekit device parameters: what is set for a model on one device, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgekit import codec
from edgekit.cli.asking import asks
from edgekit.cli.options import Device, Model
from edgekit.cli.output import print_table, say, short, when
from edgekit.client.http import FleetClient
from edgekit.client.wire.parameters import ParametersView
from edgekit.errors import StorageError

app = typer.Typer(help="Set parameters of a model on one device, and take them back.")
Values = Annotated[str, typer.Argument(help='File with a JSON object, or the object: {"a": 1}')]


def _say(view: ParametersView) -> None:
    say(f"{view.device}: {view.model} parameters {view.version}, {_text(view)}")


def _print_versions(views: list[ParametersView]) -> None:
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


def _text(view: ParametersView) -> str:
    return codec.encode(view.values).decode() if view.values else "defaults"


@asks(app, "set")
def set_parameters(client: FleetClient, device: Device, model: Model, values: Values) -> None:
    """Set all parameters of a model on a device; {} for the defaults of its release."""
    _say(client.set_parameters(device, model, _read(values)))


@asks(app, shows=_print_versions)
def show(client: FleetClient, device: Device) -> list[ParametersView]:
    """Show what is set on a device, and what the device made of it."""
    return client.parameters(device)


@asks(app, shows=_print_versions)
def history(client: FleetClient, device: Device, model: Model) -> list[ParametersView]:
    """Show every version of a model's parameters on a device."""
    return client.parameter_history(device, model)


@asks(app, shows=_say)
def back(client: FleetClient, device: Device, model: Model) -> ParametersView:
    """Set again what held before the present version; in the end the defaults."""
    return client.parameters_back(device, model)


def _read(given: str) -> dict[str, Any]:
    if given.lstrip().startswith("{"):
        return codec.decode(given.encode(), dict[str, Any], where="parameters")
    try:
        data = Path(given).read_bytes()
    except OSError as error:
        raise StorageError(f"cannot be read ({error.strerror})", where=given) from error
    return codec.decode(data, dict[str, Any], where=given)
