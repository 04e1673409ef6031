"""edgekit fleet, the part about what happens: events, alarms, and the webhooks that are told."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli.asking import asks
from edgekit.cli.output import print_table, say, when
from edgekit.client.http import FleetClient
from edgekit.client.wire.events import (
    AlarmView,
    DeliveryView,
    EventView,
    WebhookSecret,
    WebhookView,
)

app = typer.Typer()
Webhook = Annotated[str, typer.Argument(help="Id of the webhook.")]


def _print_events(found: list[EventView]) -> None:
    print_table(
        ("event", "at", "kind", "what"), ((e.id, when(e.at), e.kind, e.text) for e in found)
    )


def _print_alarms(found: list[AlarmView]) -> None:
    print_table(
        ("since", "kind", "device", "release", "what"),
        (
            (when(a.since), a.kind, a.device or "all", f"{a.model} {a.version}", a.text)
            for a in found
        ),
    )


def _print_webhooks(found: list[WebhookView]) -> None:
    print_table(
        ("id", "address", "told up to", "only", "failures", "problem"),
        ((w.id, w.url, w.told, ", ".join(w.kinds), w.failures, w.problem) for w in found),
    )


def _print_secret(made: WebhookSecret) -> None:
    say(f"{made.id} {made.secret}")


def _print_calls(found: list[DeliveryView]) -> None:
    print_table(
        ("at", "event", "status", "ms", "problem"),
        ((when(c.at), c.event, c.status or "none", f"{c.took_ms:.0f}", c.problem) for c in found),
    )


def _print_called(view: WebhookView) -> None:
    say(f"{view.id}: is called behind event {view.told}")


@asks(app, shows=_print_events)
def events(
    client: FleetClient,
    *,
    device: Annotated[str, typer.Option(help="Only what is about this device.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=1000)] = 50,
    before: Annotated[int | None, typer.Option(help="Only older than this number.")] = None,
) -> list[EventView]:
    """List what happened, newest first: devices, releases, rollouts, alarms."""
    return client.events(device=device, before=before, limit=limit)


@asks(app, shows=_print_alarms)
def alarms(client: FleetClient) -> list[AlarmView]:
    """List alarms that are not over."""
    return client.alarms()


@asks(app, shows=_print_webhooks)
def webhooks(client: FleetClient) -> list[WebhookView]:
    """List webhooks and what is wrong with them."""
    return client.webhooks()


@asks(app, shows=_print_secret)
def add_webhook(
    client: FleetClient,
    url: Annotated[str, typer.Argument(help="Address that is called for every event.")],
    *,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only this kind of event; may be repeated.")
    ] = None,
) -> WebhookSecret:
    """Have everything that happens sent to an address; prints the signing secret."""
    return client.add_webhook(url, kind or ())


@asks(app, shows=_print_calls)
def webhook_calls(client: FleetClient, webhook: Webhook) -> list[DeliveryView]:
    """List the latest calls of a webhook, newest first."""
    return client.webhook_calls(webhook)


@asks(app, shows=_print_called)
def call_webhook(
    client: FleetClient,
    webhook: Webhook,
    *,
    after: Annotated[
        int | None, typer.Option(help="Tell it everything behind this event once more.")
    ] = None,
) -> WebhookView:
    """Call a webhook now, without waiting for its pause to end."""
    return client.call_webhook_again(webhook, after=after)


@asks(app)
def drop_webhook(client: FleetClient, webhook: Webhook) -> None:
    """Stop calling an address."""
    client.drop_webhook(webhook)
    say(f"{webhook}: is not called any more")
