"""edgekit keys: the engineer's signing keys, and the trust that a server starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.asking import asks
from edgekit.cli.options import AsJson, PassphraseFile, passphrase, utc_now
from edgekit.cli.output import print_json, print_table, say, short
from edgekit.client.http import FleetClient

app = typer.Typer(help="Create signing keys and install trust on a server.")
Folder = Annotated[Path, typer.Argument(help="Folder of signing keys; never on the server.")]


@app.command()
def create(folder: Folder, passphrase_file: PassphraseFile = None) -> None:
    """Make the root and the targets key, encrypted by a passphrase."""
    from edgekit.trust.keystore import KeyStore

    KeyStore.create(folder, passphrase(passphrase_file, confirm=True))
    say(f"{folder}: made the root and the targets key")
    say(f"next: edgekit keys add-model {folder} NAME")


@app.command("add-model")
def add_model(
    folder: Folder,
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Make the key that signs the releases of one model."""
    from edgekit.trust.keystore import KeyStore

    key = KeyStore.open(folder, passphrase(passphrase_file)).add_model(name)
    say(f"{folder}: key {short(key.keyid)} signs {name}")
    say(f"next: edgekit keys install {folder} --server ADDRESS")


@asks(app)
def install(
    client: FleetClient,
    folder: Folder,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Sign root and delegations for a server and upload them; repeating it is safe."""
    from edgekit.client.trusting import install_trust
    from edgekit.trust.keystore import KeyStore

    keystore = KeyStore.open(folder, passphrase(passphrase_file))
    installed = install_trust(client, keystore, now=utc_now())
    if as_json:
        return print_json(installed)
    signed = [role for role in ("root", "targets") if getattr(installed, role)]
    done = f"signed {' and '.join(signed)}" if signed else "nothing to do"
    say(f"{client.server_url}: {done}")
    return say(f"devices pin root {installed.trust.root_sha256}")


@app.command()
def show(folder: Folder, passphrase_file: PassphraseFile = None, as_json: AsJson = False) -> None:
    """Show the public keys in a folder."""
    from edgekit.trust.keystore import KeyStore

    keystore = KeyStore.open(folder, passphrase(passphrase_file))
    top = [role for role in ("root", "targets") if (folder / f"{role}.pem").exists()]
    public = {**{role: keystore.public(role) for role in top}, **keystore.models()}
    if as_json:
        return print_json(public)
    return print_table(
        ("signs", "key id", "public key"),
        ((role, short(key.keyid), key.public) for role, key in public.items()),
    )


@app.command("accept-restore")
def accept_restore(
    folder: Annotated[Path, typer.Argument(help="Folder of the keys.")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Extend older metadata again, after a server was restored from a backup.

    Ask who runs the server first: without a restore, old metadata is an attack.
    """
    from edgekit.trust.keystore import KeyStore

    KeyStore.open(folder, passphrase(passphrase_file)).accept_restore()
    say("next: publish again what the backup does not hold")
