"""edgekit fleet: what concerns every device at once."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli import fleet_events
from edgekit.cli.asking import asks
from edgekit.cli.output import print_table, say, short, when
from edgekit.client.http import FleetClient
from edgekit.client.wire.admission import GatewayToken
from edgekit.client.wire.events import FleetStatus
from edgekit.client.wire.field import DriftView
from edgekit.client.wire.server import FreezeView

app = typer.Typer(
    help="Stop every offer at once; say what happened and who is told; gateways for their devices."
)
app.add_typer(fleet_events.app)
Gateway = Annotated[str, typer.Argument(help="Name of the gateway.")]


def _print_freeze(view: FreezeView) -> None:
    reason = f": {view.reason}" if view.reason else ""
    since = f" since {when(view.at)} by {view.by}{reason}" if view.frozen else ""
    say(f"{'frozen' if view.frozen else 'not frozen'}{since}")


def _print_status(status: FleetStatus) -> None:
    _print_freeze(status.freeze)
    for alarm in status.alarms:
        say(f"alarm since {when(alarm.since)}: {alarm.text}")


def _print_token(made: GatewayToken) -> None:
    say(made.token)


def _print_drift(found: list[DriftView]) -> None:
    print_table(
        ("hour", "device", "model", "bundle", "what drifted"),
        ((when(v.hour), v.device or "all", v.model, short(v.digest), v.text) for v in found),
    )


@asks(app, shows=_print_freeze)
def freeze(
    client: FleetClient, reason: Annotated[str, typer.Option(help="Why.")] = ""
) -> FreezeView:
    """Stop every offer of the fleet, ways back too, until `unfreeze`."""
    return client.freeze(reason)


@asks(app, shows=_print_freeze)
def unfreeze(client: FleetClient) -> FreezeView:
    """Offer again."""
    return client.unfreeze()


@asks(app, shows=_print_status)
def status(client: FleetClient) -> FleetStatus:
    """Say whether every offer is stopped, and which alarms are not over."""
    return FleetStatus(freeze=client.frozen(), alarms=tuple(client.alarms()))


@asks(app, shows=_print_token)
def add_gateway(client: FleetClient, name: Gateway) -> GatewayToken:
    """Print a token with which a gateway speaks for the devices behind it; shown once."""
    return client.add_gateway(name)


@asks(app)
def drop_gateway(client: FleetClient, name: Gateway) -> None:
    """Make a gateway's tokens worthless."""
    client.drop_gateway(name)
    say(f"{name}: speaks for nobody")


@asks(app, shows=_print_drift)
def drift(
    client: FleetClient,
    model: Annotated[str, typer.Argument(help="Only this model.")] = "",
) -> list[DriftView]:
    """List what drifted on the last day: releases on all their devices, and devices by the hour."""
    return client.drift(model)
