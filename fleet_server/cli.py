"""`edgekit server`: make a server's folder, and run it. Heavy imports live inside the commands."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.options import PassphraseFile, passphrase

app = typer.Typer(
    name="server",
    help="The fleet server: make its folder, and run it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_Data = Annotated[Path, typer.Argument(metavar="DATA", help="Folder of the server.")]


@app.command()
def init(
    data: _Data,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Make a server's folder: database, online keys, and a token for you."""
    from fleet_server.main import initialise
    from fleet_server.services.config import load_config

    made = initialise(load_config(data, {}))
    if as_json:
        typer.echo(json.dumps({"data": str(made.data), "admin_token": str(made.admin_token)}))
        return
    typer.echo(f"server folder: {made.data}")
    typer.echo(f"your token is in: {made.admin_token} (keep it secret)")
    typer.echo(f"next: edgekit server run {made.data}")


@app.command()
def join(
    data: _Data,
    *,
    secret_file: Annotated[
        Path, typer.Option(help="keys/online.secret of a machine of the server.")
    ],
) -> None:
    """Make a folder on another machine part of a server; server.toml names its database."""
    from fleet_server.keeping import join_server
    from fleet_server.services.config import load_config

    join_server(load_config(data, {}), secret_file)
    typer.echo(f"next: edgekit server run {data}")


@app.command()
def run(
    data: _Data,
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 0 for any free one. [8080]")] = None,
    behind_proxy: Annotated[
        bool | None,
        typer.Option("--behind-proxy", help="A proxy that ends TLS stands in front."),
    ] = None,
    tls_cert: Annotated[
        str | None, typer.Option(help="Certificate chain (PEM): speak HTTPS without a proxy.")
    ] = None,
    tls_key: Annotated[str | None, typer.Option(help="Its private key (PEM).")] = None,
    poll_interval: Annotated[
        float | None, typer.Option(help="How often devices are told to come, seconds. [300]")
    ] = None,
    tick: Annotated[
        float | None, typer.Option(help="How often rollouts are stepped, seconds. [2]")
    ] = None,
    log_json: Annotated[
        bool | None, typer.Option("--log-json", help="Log JSON, one object a line.")
    ] = None,
) -> None:
    """Serve devices and people until SIGTERM. Arguments win over DATA/server.toml."""
    from fleet_server.main import run as serve
    from fleet_server.services.config import load_config

    overrides: dict[str, object] = {
        "host": host,
        "port": port,
        "behind_proxy": behind_proxy,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "poll_interval_s": poll_interval,
        "tick_s": tick,
        "log_json": log_json,
    }
    serve(load_config(data, overrides))


@app.command()
def backup(
    data: _Data,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Tar file to write.")],
    *,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Write a backup; the server may go on meanwhile. Its online keys are encrypted in it."""
    from fleet_server.keeping import back_up_server
    from fleet_server.services.config import load_config

    config = load_config(data, {})
    back_up_server(config, file, passphrase=passphrase(passphrase_file, confirm=True))
    typer.echo(f"backup: {file} ({file.stat().st_size} bytes)")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `server backup` wrote.")],
    data: _Data,
    *,
    passphrase_file: PassphraseFile = None,
) -> None:
    """Make a server's folder from a backup, with a new first token."""
    from fleet_server.keeping import restore_server
    from fleet_server.services.config import load_config

    made_at = restore_server(load_config(data, {}), file, passphrase=passphrase(passphrase_file))
    typer.echo(f"server folder: {data}, as of {made_at:%Y-%m-%d %H:%M:%S} UTC")
    typer.echo(f"your token is in: {data / 'admin.token'} (keep it secret)")
    typer.echo("next: publish again what was published since then, so that devices go on")


@app.command()
def export(
    data: _Data,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Parquet file to write.")],
    *,
    since: Annotated[datetime, typer.Option(help="First day, UTC.", formats=["%Y-%m-%d"])],
    until: Annotated[datetime, typer.Option(help="Day after the last.", formats=["%Y-%m-%d"])],
) -> None:
    """Write telemetry windows, by the time of their arrival, as Parquet for a warehouse."""
    from fleet_server.keeping import export_windows
    from fleet_server.services.config import load_config

    first, last = since.replace(tzinfo=UTC), until.replace(tzinfo=UTC)
    count = export_windows(load_config(data, {}), file, since=first, until=last)
    typer.echo(f"{file}: {count} windows")
