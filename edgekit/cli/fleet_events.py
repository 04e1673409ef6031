"""edgekit fleet, the part about what happens: events, alarms, and the webhooks that are told."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli.options import AsJson, Server, TokenFile, connect
from edgekit.cli.output import print_json, print_table, say, when

Webhook = Annotated[str, typer.Argument(help="Id of the webhook.")]


def add_webhook(
    url: Annotated[str, typer.Argument(help="Address that is called for every event.")],
    *,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only this kind of event; may be repeated.")
    ] = None,
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Have everything that happens sent to an address; prints the signing secret."""
    with connect(server, token_file) as client:
        made = client.add_webhook(url, kind or ())
    return print_json(made) if as_json else say(f"{made.id} {made.secret}")


def webhooks(server: Server = "", token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """List webhooks and what is wrong with them."""
    with connect(server, token_file) as client:
        found = client.webhooks()
    if as_json:
        return print_json(found)
    return print_table(
        ("id", "address", "told up to", "only", "failures", "problem"),
        ((w.id, w.url, w.told, ", ".join(w.kinds), w.failures, w.problem) for w in found),
    )


def webhook_calls(
    webhook: Webhook,
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """List the latest calls of a webhook, newest first."""
    with connect(server, token_file) as client:
        found = client.webhook_calls(webhook)
    if as_json:
        return print_json(found)
    return print_table(
        ("at", "event", "status", "ms", "problem"),
        ((when(c.at), c.event, c.status or "none", f"{c.took_ms:.0f}", c.problem) for c in found),
    )


def call_webhook(
    webhook: Webhook,
    *,
    after: Annotated[
        int | None, typer.Option(help="Tell it everything behind this event once more.")
    ] = None,
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Call a webhook now, without waiting for its pause to end."""
    with connect(server, token_file) as client:
        view = client.call_webhook_again(webhook, after=after)
    return print_json(view) if as_json else say(f"{view.id}: is called behind event {view.told}")


def drop_webhook(webhook: Webhook, server: Server = "", token_file: TokenFile = None) -> None:
    """Stop calling an address."""
    with connect(server, token_file) as client:
        client.drop_webhook(webhook)
    say(f"{webhook}: is not called any more")


def events(
    *,
    device: Annotated[str, typer.Option(help="Only what is about this device.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=1000)] = 50,
    before: Annotated[int | None, typer.Option(help="Only older than this number.")] = None,
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """List what happened, newest first: devices, releases, rollouts, alarms."""
    with connect(server, token_file) as client:
        found = client.events(device=device, before=before, limit=limit)
    if as_json:
        return print_json(found)
    return print_table(
        ("event", "at", "kind", "what"), ((e.id, when(e.at), e.kind, e.text) for e in found)
    )


def alarms(server: Server = "", token_file: TokenFile = None, as_json: AsJson = False) -> None:
    """List alarms that are not over."""
    with connect(server, token_file) as client:
        found = client.alarms()
    if as_json:
        return print_json(found)
    return print_table(
        ("since", "kind", "device", "release", "what"),
        ((when(a.since), a.kind, a.device, f"{a.model} {a.version}", a.text) for a in found),
    )
