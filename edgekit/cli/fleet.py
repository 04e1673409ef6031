"""edgekit fleet: what concerns every device at once, and who is told."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli.options import AsJson, Server, TokenFile, connect
from edgekit.cli.output import print_json, print_table, say, when
from edgekit.client.device_wire import FreezeView

app = typer.Typer(help="Stop every offer at once; let gateways speak for their devices.")
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
    """Say whether every offer is stopped."""
    with connect(server, token_file) as client:
        _print(client.frozen(), as_json=as_json)


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


def _print(view: FreezeView, *, as_json: bool) -> None:
    if as_json:
        return print_json(view)
    reason = f": {view.reason}" if view.reason else ""
    since = f" since {when(view.at)} by {view.by}{reason}" if view.frozen else ""
    return say(f"{'frozen' if view.frozen else 'not frozen'}{since}")


@app.command("add-webhook")
def add_webhook(
    url: Annotated[str, typer.Argument(help="Address that is called for every event.")],
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Have everything that happens to rollouts sent to an address; prints the signing secret."""
    with connect(server, token_file) as client:
        made = client.add_webhook(url)
    return print_json(made) if as_json else say(f"{made.id} {made.secret}")


@app.command()
def webhooks(server: Server = "", token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """List webhooks and what is wrong with them."""
    with connect(server, token_file) as client:
        found = client.webhooks()
    if as_json:
        return print_json(found)
    return print_table(
        ("id", "address", "failures", "problem"),
        ((w.id, w.url, w.failures, w.problem) for w in found),
    )


@app.command("drop-webhook")
def drop_webhook(
    webhook: Annotated[str, typer.Argument(help="Id of the webhook.")],
    server: Server = "",
    token_file: TokenFile = None,
) -> None:
    """Stop calling an address."""
    with connect(server, token_file) as client:
        client.drop_webhook(webhook)
    say(f"{webhook}: is not called any more")
