"""edgekit release: publish bundles as a release, and see what is published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.bundle import open_bundle
from edgekit.cli.options import (
    AsJson,
    PassphraseFile,
    Server,
    TokenFile,
    connect,
    passphrase,
    utc_now,
)
from edgekit.cli.output import print_json, print_table, say, short, when
from edgekit.client.wire.field import AccuracyView
from edgekit.client.wire.releases import ReleaseView
from edgekit.errors import UsageError

app = typer.Typer(help="Publish releases, list them, withdraw them.")
Model = Annotated[str, typer.Argument(help="Name of the model.")]
Version = Annotated[str, typer.Argument(help="Version of the release.")]


@app.command()
def publish(
    bundles: Annotated[list[Path], typer.Argument(help="Bundles, one a variant, or a folder.")],
    *,
    keys: Annotated[Path, typer.Option("--keys", help="Folder of signing keys.")],
    server: Server = "",
    token_file: TokenFile = None,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Sign bundles of one release and publish them.

    Model and version are those in the bundles. The keys never leave this machine.
    """
    from edgekit.client.publishing import publish as publish_release
    from edgekit.trust.keystore import KeyStore

    files = bundle_files(bundles)
    manifest = open_bundle(files[0]).manifest
    with connect(server, token_file) as client:
        view = publish_release(
            client,
            model=manifest.model,
            version=manifest.version,
            bundles=files,
            keystore=KeyStore.open(keys, passphrase(passphrase_file)),
            now=utc_now(),
        )
    _print(view, as_json=as_json)


@app.command("publish-foreign")
def publish_foreign(
    file: Annotated[Path, typer.Argument(help="File that the client takes, such as a .swu.")],
    *,
    model: Annotated[str, typer.Option(help="Name of the model.")],
    version: Annotated[str, typer.Option(help="Version of the release.")],
    client: Annotated[str, typer.Option(help="What a device's label `client` must say.")],
    keys: Annotated[Path, typer.Option("--keys", help="Folder of signing keys.")],
    variant: Annotated[str, typer.Option(help="Name of the variant.")] = "foreign",
    server: Server = "",
    token_file: TokenFile = None,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Publish a file for devices with another update client, such as SWUpdate or RAUC."""
    from edgekit.client.publishing import ForeignFile
    from edgekit.client.publishing import publish as publish_release
    from edgekit.trust.keystore import KeyStore

    with connect(server, token_file) as fleet:
        view = publish_release(
            fleet,
            model=model,
            version=version,
            bundles=(),
            keystore=KeyStore.open(keys, passphrase(passphrase_file)),
            now=utc_now(),
            foreign=(ForeignFile(path=file, variant=variant, client=client),),
        )
    _print(view, as_json=as_json)


@app.command("list")
def list_releases(
    server: Server = "", token_file: TokenFile = None, as_json: AsJson = False
) -> None:
    """List every release."""
    with connect(server, token_file) as client:
        releases = client.releases()
    if as_json:
        return print_json(releases)
    return print_table(
        ("model", "version", "state", "variants", "published"),
        (
            (
                r.model,
                r.version,
                r.state,
                ", ".join(v.variant for v in r.variants),
                when(r.published_at),
            )
            for r in releases
        ),
    )


@app.command()
def show(
    model: Model,
    version: Version,
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Show one release with its variants, and how often it was right where labels came."""
    with connect(server, token_file) as client:
        _print(client.release(model, version), as_json=as_json)
        if not as_json:
            _print_accuracy(client.accuracy(model, version))


@app.command()
def withdraw(
    model: Model,
    version: Version,
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Stop offering a release; devices that run it keep running it."""
    with connect(server, token_file) as client:
        _print(client.withdraw(model, version), as_json=as_json)


@app.command()
def revoke(
    model: Model,
    version: Version,
    *,
    keys: Annotated[Path, typer.Option("--keys", help="Folder of signing keys.")],
    server: Server = "",
    token_file: TokenFile = None,
    passphrase_file: PassphraseFile = None,
    as_json: AsJson = False,
) -> None:
    """Unlist a release: no device takes it any more, those that run it get another one."""
    from edgekit.client.publishing import revoke as revoke_release
    from edgekit.trust.keystore import KeyStore

    with connect(server, token_file) as client:
        view = revoke_release(
            client,
            model=model,
            version=version,
            keystore=KeyStore.open(keys, passphrase(passphrase_file)),
            now=utc_now(),
        )
    _print(view, as_json=as_json)


@app.command()
def gc(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    server: Server = "",
    token_file: TokenFile = None,
    as_json: AsJson = False,
) -> None:
    """Take bundles away that nobody needs: of releases that are withdrawn or revoked, or of none.

    What a device runs, is being updated to or may return to stays.
    """
    with connect(server, token_file) as client:
        view = client.garbage() if dry_run else client.collect_garbage()
    if as_json:
        return print_json(view)
    print_table(
        ("release", "bytes", "sha256"),
        ((b.release or "(of no release)", b.size, short(b.digest)) for b in view.bundles),
    )
    verb = "went" if view.collected else "would go"
    return say(f"{len(view.bundles)} bundles, {view.deltas} deltas, {view.bytes} bytes {verb}")


def bundle_files(paths: list[Path]) -> list[Path]:
    """Return the bundles among paths; a folder stands for the bundles in it, by name.

    Raises:
        UsageError: A folder holds none.
    """
    files: list[Path] = []
    for path in paths:
        found = sorted(path.glob("*.bundle")) if path.is_dir() else [path]
        if not found:
            raise UsageError("holds no bundles", where=str(path))
        files += found
    return files


def _print(release: ReleaseView, *, as_json: bool) -> None:
    if as_json:
        return print_json(release)
    say(f"{release.model} {release.version}: {release.state} at {when(release.published_at)} UTC")
    return print_table(
        ("variant", "bytes", "sha256", "runs on"),
        (
            (
                v.variant,
                v.size,
                short(v.digest),
                " or ".join(f"{r.name} >= {r.minimum}" for r in v.requires.runtimes),
            )
            for v in release.variants
        ),
    )


def _print_accuracy(found: list[AccuracyView]) -> None:
    for view in found:
        say(
            f"in the field {view.variant}: {view.right} of {view.labelled} labelled answers right,"
            f" {view.accuracy:.1%} ({view.low:.1%} to {view.high:.1%}), {view.devices} devices"
        )
