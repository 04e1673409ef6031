"""edgekit release: publish bundles as a release, and see what is published."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.bundle import open_bundle
from edgekit.cli.asking import asks
from edgekit.cli.options import AsJson, Model, PassphraseFile, passphrase, utc_now
from edgekit.cli.output import print_json, print_table, say, short, when
from edgekit.client.http import FleetClient
from edgekit.client.wire.field import AccuracyView
from edgekit.client.wire.garbage import GarbageView
from edgekit.client.wire.releases import ReleaseView
from edgekit.errors import UsageError

app = typer.Typer(help="Publish releases, list them, withdraw them.")
Version = Annotated[str, typer.Argument(help="Version of the release.")]
Keys = Annotated[Path, typer.Option("--keys", help="Folder of signing keys.")]


def _print(release: ReleaseView) -> None:
    say(f"{release.model} {release.version}: {release.state} at {when(release.published_at)} UTC")
    print_table(
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


def _print_releases(releases: list[ReleaseView]) -> None:
    print_table(
        ("model", "version", "state", "variants", "published"),
        (
            (
                *(r.model, r.version, r.state, ", ".join(v.variant for v in r.variants)),
                when(r.published_at),
            )
            for r in releases
        ),
    )


def _print_garbage(view: GarbageView) -> None:
    print_table(
        ("release", "bytes", "sha256"),
        ((b.release or "(of no release)", b.size, short(b.digest)) for b in view.bundles),
    )
    verb = "went" if view.collected else "would go"
    say(f"{len(view.bundles)} bundles, {view.deltas} deltas, {view.bytes} bytes {verb}")


@asks(app, shows=_print)
def publish(
    client: FleetClient,
    bundles: Annotated[list[Path], typer.Argument(help="Bundles, one a variant, or a folder.")],
    *,
    keys: Keys,
    passphrase_file: PassphraseFile = None,
) -> ReleaseView:
    """Sign bundles of one release and publish them.

    Model and version are those in the bundles. The keys never leave this machine.
    """
    from edgekit.client.publishing import publish as publish_release
    from edgekit.trust.keystore import KeyStore

    files = bundle_files(bundles)
    manifest = open_bundle(files[0]).manifest
    return publish_release(
        client,
        model=manifest.model,
        version=manifest.version,
        bundles=files,
        keystore=KeyStore.open(keys, passphrase(passphrase_file)),
        now=utc_now(),
    )


@asks(app, shows=_print)
def publish_foreign(
    fleet: FleetClient,
    file: Annotated[Path, typer.Argument(help="File that the client takes, such as a .swu.")],
    *,
    model: Annotated[str, typer.Option(help="Name of the model.")],
    version: Annotated[str, typer.Option(help="Version of the release.")],
    client: Annotated[str, typer.Option(help="What a device's label `client` must say.")],
    keys: Keys,
    variant: Annotated[str, typer.Option(help="Name of the variant.")] = "foreign",
    passphrase_file: PassphraseFile = None,
) -> ReleaseView:
    """Publish a file for devices with another update client, such as SWUpdate or RAUC."""
    from edgekit.client.publishing import ForeignFile
    from edgekit.client.publishing import publish as publish_release
    from edgekit.trust.keystore import KeyStore

    return publish_release(
        fleet,
        model=model,
        version=version,
        bundles=(),
        keystore=KeyStore.open(keys, passphrase(passphrase_file)),
        now=utc_now(),
        foreign=(ForeignFile(path=file, variant=variant, client=client),),
    )


@asks(app, "list", shows=_print_releases)
def list_releases(client: FleetClient) -> list[ReleaseView]:
    """List every release."""
    return client.releases()


@asks(app)
def show(client: FleetClient, model: Model, version: Version, as_json: AsJson = False) -> None:
    """Show one release with its variants, and how often it was right where labels came."""
    release = client.release(model, version)
    if as_json:
        return print_json(release)
    _print(release)
    return _print_accuracy(client.accuracy(model, version))


@asks(app, shows=_print)
def withdraw(client: FleetClient, model: Model, version: Version) -> ReleaseView:
    """Stop offering a release; devices that run it keep running it."""
    return client.withdraw(model, version)


@asks(app, shows=_print)
def revoke(
    client: FleetClient,
    model: Model,
    version: Version,
    *,
    keys: Keys,
    passphrase_file: PassphraseFile = None,
) -> ReleaseView:
    """Unlist a release: no device takes it any more, those that run it get another one."""
    from edgekit.client.publishing import revoke as revoke_release
    from edgekit.trust.keystore import KeyStore

    return revoke_release(
        client,
        model=model,
        version=version,
        keystore=KeyStore.open(keys, passphrase(passphrase_file)),
        now=utc_now(),
    )


@asks(app, shows=_print_garbage)
def gc(
    client: FleetClient,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> GarbageView:
    """Take bundles away that nobody needs: of releases that are withdrawn or revoked, or of none.

    What a device runs, is being updated to or may return to stays.
    """
    return client.garbage() if dry_run else client.collect_garbage()


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
