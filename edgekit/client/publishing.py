"""Publish a release: upload bundles, extend the model's signed list, hand it over.

The private key stays here; the server sees signatures only. Repeating a publish that was
interrupted is safe: blobs that are there are not sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from edgekit.bundle import Bundle, open_bundle
from edgekit.client.http import FleetClient
from edgekit.client.trusting import delegated_models
from edgekit.client.wire.releases import NewRelease, ReleaseView
from edgekit.codec import plain
from edgekit.device import Requirements, RuntimeRange
from edgekit.errors import ConflictError, TrustError, UsageError
from edgekit.trust.keystore import KeyStore
from edgekit.trust.signing import TargetEntry, extend_model_targets, metadata_version


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignFile:
    """A file that is no bundle: devices that run another update client install it.

    Attributes:
        path: The file, such as "camera.swu"; its suffix is what the client knows it by.
        variant: Name of the variant within the release.
        client: What a device's label `client` must say, such as "swupdate".
    """

    path: Path
    variant: str
    client: str


def publish(
    client: FleetClient,
    *,
    model: str,
    version: str,
    bundles: Sequence[Path],
    keystore: KeyStore,
    now: datetime,
    foreign: Sequence[ForeignFile] = (),
) -> ReleaseView:
    """Publish the variants of one release; on return the server offers it to rollouts.

    Args:
        client: Server to publish on.
        model: Name of the model.
        version: Version of the release.
        bundles: One file a variant; each says in its manifest what it is.
        keystore: Holds the model's key.
        now: Current time, UTC; the signature expires 60 days later.
        foreign: Files for devices with other update clients, variants of the same release.

    Raises:
        UsageError: No bundle, one variant twice, or a bundle of another release.
        BundleError: A bundle is damaged.
        TrustError: The model has no key here, or the server does not know it.
        ConflictError: A variant is published already with other content, or somebody else
            published at the same time, twice.
    """
    opened = _open_all(bundles, foreign, model=model, version=version)
    _check_delegated(client, keystore, model)
    paths = [bundle.path for bundle in opened] + [file.path for file in foreign]
    entries = [_entry(bundle) for bundle in opened]
    entries += [_foreign_entry(file, model=model, version=version) for file in foreign]
    for path, entry in zip(paths, entries, strict=True):
        client.upload_blob(path, sha256=entry.sha256, size=entry.length)
    try:
        return _sign_and_post(client, keystore, entries, model=model, version=version, now=now)
    except ConflictError:
        # Somebody else may have extended the same list since it was read: read it again, once.
        return _sign_and_post(client, keystore, entries, model=model, version=version, now=now)


def revoke(
    client: FleetClient, *, model: str, version: str, keystore: KeyStore, now: datetime
) -> ReleaseView:
    """Unlist a release: no device takes it any more, and those that run it get another.

    Args:
        client: Server that published it.
        model: Name of the model.
        version: The release.
        keystore: Holds the model's key.
        now: Current time, UTC.

    Raises:
        TrustError: The model has no key here, or the server does not know it.
    """
    _check_delegated(client, keystore, model)
    release = client.release(model, version)
    previous = client.trust_metadata(model)
    paths = [v.target for v in release.variants if v.target.encode() in (previous or b"")]
    if release.state == "revoked" and not paths:
        return release
    signed = extend_model_targets(keystore, model, previous, (), now=now, removals=paths)
    view = client.post_revocation(model, version, signed)
    keystore.confirm_published(model, metadata_version(signed))
    return view


def _open_all(
    bundles: Sequence[Path], foreign: Sequence[ForeignFile], *, model: str, version: str
) -> list[Bundle]:
    if not bundles and not foreign:
        raise UsageError("no bundle is named", where=f"{model} {version}")
    opened = [open_bundle(path) for path in bundles]
    for bundle in opened:
        named = (bundle.manifest.model, bundle.manifest.version)
        if named != (model, version):
            raise UsageError(
                f"is {named[0]} {named[1]}, not {model} {version}", where=str(bundle.path)
            )
    variants = [bundle.manifest.variant for bundle in opened] + [f.variant for f in foreign]
    if len(set(variants)) != len(variants):
        raise UsageError("one variant is named twice", where=f"{model} {version}")
    return opened


def _check_delegated(client: FleetClient, keystore: KeyStore, model: str) -> None:
    mine = keystore.models().get(model)
    if mine is None:
        raise TrustError(
            f"there is no key for {model!r}",
            where=str(keystore.folder),
            todo=f"run: edgekit keys add-model {keystore.folder} {model}",
        )
    theirs = delegated_models(client.trust_metadata("targets")).get(model)
    if theirs is None or theirs.keyid != mine.keyid:
        raise TrustError(
            f"does not trust your key for {model!r}",
            where=client.server_url,
            todo=f"run: edgekit keys install {keystore.folder}",
        )


def _entry(bundle: Bundle) -> TargetEntry:
    manifest = bundle.manifest
    return TargetEntry.of_file(
        bundle.path,
        model=manifest.model,
        version=manifest.version,
        variant=manifest.variant,
        requires=plain(manifest.requires),
    )


def _foreign_entry(file: ForeignFile, *, model: str, version: str) -> TargetEntry:
    requires = Requirements(runtimes=(RuntimeRange(name=file.client),))
    return TargetEntry.of_file(
        file.path,
        model=model,
        version=version,
        variant=file.variant,
        requires=plain(requires),
        foreign=True,
    )


def _sign_and_post(
    client: FleetClient,
    keystore: KeyStore,
    entries: Sequence[TargetEntry],
    *,
    model: str,
    version: str,
    now: datetime,
) -> ReleaseView:
    previous = client.trust_metadata(model)
    signed = extend_model_targets(keystore, model, previous, entries, now=now)
    view = client.create_release(NewRelease(model=model, version=version, targets=signed.decode()))
    keystore.confirm_published(model, metadata_version(signed))
    return view
