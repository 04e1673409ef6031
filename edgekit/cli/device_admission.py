"""edgekit device, part two: who may speak, one release on one device, and why it runs what it runs.

Its commands join those of `edgekit.cli.device`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.device_bundle import collect
from edgekit.cli.options import AsJson, Server, TokenFile, connect, pairs, seconds
from edgekit.cli.output import joined, print_json, print_table, say, short, when
from edgekit.client.http import FleetClient
from edgekit.client.wire.devices import DeviceView

Device = Annotated[str, typer.Argument(help="Id of the device.")]
Reason = Annotated[str, typer.Option(help="Why; shown to everybody who looks at the device.")]
Model = Annotated[str, typer.Argument(help="Name of the model.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (
        *(add, accept, reject, revoke, quarantine, rotate),
        *(confirm, install, uninstall, diagnose),
    ):
        app.command()(command)


def add(
    device: Device,
    label: Annotated[list[str] | None, typer.Option(help="key=value")] = None,
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a device known that cannot enrol, such as one with SWUpdate; prints its token once."""
    with connect(server, token_file) as client:
        made = client.add_device(device, pairs(label or []))
    return print_json(made) if as_json else say(made.token)


def accept(device: Device, server: Server = "", token_file: TokenFile = None) -> None:
    """Let a device in that waits or is quarantined."""
    _change(lambda client: client.accept(device), server, token_file)


def reject(
    device: Device, reason: Reason = "", server: Server = "", token_file: TokenFile = None
) -> None:
    """Keep a device out that waits."""
    _change(lambda client: client.reject(device, reason), server, token_file)


def revoke(
    device: Device, reason: Reason = "", server: Server = "", token_file: TokenFile = None
) -> None:
    """Make a device's token worthless; its history stays."""
    _change(lambda client: client.revoke(device, reason), server, token_file)


def quarantine(
    device: Device, reason: Reason = "", server: Server = "", token_file: TokenFile = None
) -> None:
    """Offer a device nothing more until it is accepted again."""
    _change(lambda client: client.quarantine(device, reason), server, token_file)


def rotate(
    device: Device, server: Server = "", token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """Print a device's next token; the present one is valid until the next is used."""
    with connect(server, token_file) as client:
        made = client.rotate_token(device)
    return print_json(made) if as_json else say(made.token)


def confirm(device: Device, server: Server = "", token_file: TokenFile = None) -> None:
    """Confirm, for the device, the offer that waits for that."""
    _change(lambda client: client.confirm(device), server, token_file)


def install(
    device: Device,
    model: Model,
    version: Annotated[str, typer.Argument(help="Version of the release.")],
    server: Server = "",
    token_file: TokenFile = None,
) -> None:
    """Install one release on one device, whatever rollouts say, until `uninstall`."""
    _change(lambda client: client.pin(device, model, version), server, token_file)


def uninstall(
    device: Device, model: Model, server: Server = "", token_file: TokenFile = None
) -> None:
    """Let rollouts decide again what a device runs."""
    _change(lambda client: client.unpin(device, model), server, token_file)


def diagnose(
    *,
    device: Device,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Ask the device for its diagnose bundle, and write it here (tar.gz)."),
    ] = None,
    wait: Annotated[str, typer.Option(help="How long to wait for it: 90s, 30m, 1h.")] = "15m",
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Say why a device runs what it runs; exit code 1 when something needs attention."""
    if bundle is not None:
        with connect(server, token_file) as client:
            return collect(client, device, bundle, within_s=seconds(wait))
    with connect(server, token_file) as client:
        found = client.diagnose(device)
    if as_json:
        print_json(found)
    for line in () if as_json else found.findings:
        say(line)
    raise typer.Exit(0 if found.healthy else 1)


def print_ran(device: str, at: str, server: str, token_file: Path | None, *, as_json: bool) -> None:
    """Print what a device ran at a time."""
    with connect(server, token_file) as client:
        ran = client.ran(device, at)
    if as_json:
        return print_json(ran)
    return print_table(
        ("model", "version", "variant", "sha256", "since", "made from"),
        (
            (
                *(r.model, r.version, r.variant, short(r.digest), when(r.since)),
                f"{r.lineage.source} by {r.lineage.recipe}" if r.lineage else "",
            )
            for r in ran
        ),
    )


def _change(
    change: Callable[[FleetClient], DeviceView], server: str, token_file: Path | None
) -> None:
    with connect(server, token_file) as client:
        view = change(client)
    parts = (view.state, view.alarm, joined(view.pins))
    say(f"{view.id}: {', '.join(part for part in parts if part)}")
