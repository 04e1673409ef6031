"""edgekit fleet: what concerns every device at once."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli import fleet_events
from edgekit.cli.options import AsJson, Server, TokenFile, connect
from edgekit.cli.output import print_json, print_table, say, short, when
from edgekit.client.wire.events import FleetStatus
from edgekit.client.wire.server import FreezeView

app = typer.Typer(
    help="Stop every offer at once; say what happened and who is told; gateways for their devices."
)
for _command in (
    fleet_events.events,
    fleet_events.alarms,
    fleet_events.webhooks,
    fleet_events.add_webhook,
    fleet_events.webhook_calls,
    fleet_events.call_webhook,
    fleet_events.drop_webhook,
):
    app.command()(_command)
Gateway = Annotated[str, typer.Argument(help="Name of the gateway.")]


@app.command()
def freeze(
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Stop every offer of the fleet, ways back too, until `unfreeze`."""
    with connect(server, token_file) as client:
        _print(client.freeze(reason), as_json=as_json)


@app.command()
def unfreeze(server: Server = "", token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """Offer again."""
    with connect(server, token_file) as client:
        _print(client.unfreeze(), as_json=as_json)


@app.command()
def status(server: Server = "", token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """Say whether every offer is stopped, and which alarms are not over."""
    with connect(server, token_file) as client:
        frozen, alarms = client.frozen(), client.alarms()
    if as_json:
        return print_json(FleetStatus(freeze=frozen, alarms=tuple(alarms)))
    _print(frozen, as_json=False)
    for alarm in alarms:
        say(f"alarm since {when(alarm.since)}: {alarm.text}")
    return None


@app.command("add-gateway")
def add_gateway(
    name: Gateway, server: Server = "", token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """Print a token with which a gateway speaks for the devices behind it; shown once."""
    with connect(server, token_file) as client:
        made = client.add_gateway(name)
    return print_json(made) if as_json else say(made.token)


@app.command("drop-gateway")
def drop_gateway(name: Gateway, server: Server = "", token_file: TokenFile = None) -> None:
    """Make a gateway's tokens worthless."""
    with connect(server, token_file) as client:
        client.drop_gateway(name)
    say(f"{name}: speaks for nobody")


@app.command()
def drift(
    model: Annotated[str, typer.Argument(help="Only this model.")] = "",
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """List devices that saw something unusual on the last day, by the hour."""
    with connect(server, token_file) as client:
        found = client.drift(model)
    if as_json:
        return print_json(found)
    return print_table(
        ("hour", "device", "model", "bundle", "what drifted"),
        ((when(v.hour), v.device, v.model, short(v.digest), v.text) for v in found),
    )


def _print(view: FreezeView, *, as_json: bool) -> None:
    if as_json:
        return print_json(view)
    reason = f": {view.reason}" if view.reason else ""
    since = f" since {when(view.at)} by {view.by}{reason}" if view.frozen else ""
    return say(f"{'frozen' if view.frozen else 'not frozen'}{since}")
