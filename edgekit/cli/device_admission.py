"""edgekit device, the part about one: who may speak, what is installed there, and why it runs that.

Its commands join those of `edgekit.cli.device`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.asking import asks
from edgekit.cli.device_bundle import collect
from edgekit.cli.options import AsJson, Device, Model, pairs, seconds
from edgekit.cli.output import joined, print_json, say
from edgekit.client.http import FleetClient
from edgekit.client.wire.admission import DeviceToken
from edgekit.client.wire.devices import DeviceView

app = typer.Typer()
Reason = Annotated[str, typer.Option(help="Why; shown to everybody who looks at the device.")]


def _print_token(made: DeviceToken) -> None:
    say(made.token)


def _say_state(view: DeviceView) -> None:
    parts = (view.state, view.alarm, joined(view.pins))
    say(f"{view.id}: {', '.join(part for part in parts if part)}")


@asks(app, shows=_print_token)
def add(
    client: FleetClient,
    device: Device,
    label: Annotated[list[str] | None, typer.Option(help="key=value")] = None,
) -> DeviceToken:
    """Make a device known that cannot enrol, such as one with SWUpdate; prints its token once."""
    return client.add_device(device, pairs(label or []))


@asks(app)
def accept(client: FleetClient, device: Device) -> None:
    """Let a device in that waits or is quarantined."""
    _say_state(client.accept(device))


@asks(app)
def reject(client: FleetClient, device: Device, reason: Reason = "") -> None:
    """Keep a device out that waits."""
    _say_state(client.reject(device, reason))


@asks(app)
def revoke(client: FleetClient, device: Device, reason: Reason = "") -> None:
    """Make a device's token worthless; its history stays."""
    _say_state(client.revoke(device, reason))


@asks(app)
def quarantine(client: FleetClient, device: Device, reason: Reason = "") -> None:
    """Offer a device nothing more until it is accepted again."""
    _say_state(client.quarantine(device, reason))


@asks(app, shows=_print_token)
def rotate(client: FleetClient, device: Device) -> DeviceToken:
    """Print a device's next token; the present one is valid until the next is used."""
    return client.rotate_token(device)


@asks(app)
def confirm(client: FleetClient, device: Device) -> None:
    """Confirm, for the device, the offer that waits for that."""
    _say_state(client.confirm(device))


@asks(app)
def install(
    client: FleetClient,
    device: Device,
    model: Model,
    version: Annotated[str, typer.Argument(help="Version of the release.")],
) -> None:
    """Install one release on one device, whatever rollouts say, until `uninstall`."""
    _say_state(client.pin(device, model, version))


@asks(app)
def uninstall(client: FleetClient, device: Device, model: Model) -> None:
    """Let rollouts decide again what a device runs."""
    _say_state(client.unpin(device, model))


@asks(app)
def diagnose(
    client: FleetClient,
    *,
    device: Device,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Ask the device for its diagnose bundle, and write it here (tar.gz)."),
    ] = None,
    wait: Annotated[str, typer.Option(help="How long to wait for it: 90s, 30m, 1h.")] = "15m",
    as_json: AsJson = False,
) -> None:
    """Say why a device runs what it runs; exit code 1 when something needs attention."""
    if bundle is not None:
        return collect(client, device, bundle, within_s=seconds(wait))
    found = client.diagnose(device)
    if as_json:
        print_json(found)
    for line in () if as_json else found.findings:
        say(line)
    raise typer.Exit(0 if found.healthy else 1)
