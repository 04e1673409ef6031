"""Publish a release: upload bundles, extend the model's signed list, hand it over.

The private key stays here; the server sees signatures only. Repeating a publish that was
interrupted is safe: blobs that are there are not sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from edgekit.bundle import Bundle, open_bundle
from edgekit.client.http import FleetClient
from edgekit.client.trusting import delegated_models
from edgekit.client.wire import NewRelease, ReleaseView
from edgekit.codec import plain
from edgekit.errors import ConflictError, TrustError, UsageError
from edgekit.trust.keystore import KeyStore
from edgekit.trust.signing import TargetEntry, extend_model_targets, metadata_version


def publish(
    client: FleetClient,
    *,
    model: str,
    version: str,
    bundles: Sequence[Path],
    keystore: KeyStore,
    now: datetime,
) -> ReleaseView:
    """Publish the variants of one release; on return the server offers it to rollouts.

    Args:
        client: Server to publish on.
        model: Name of the model.
        version: Version of the release.
        bundles: One file a variant; each says in its manifest what it is.
        keystore: Holds the model's key.
        now: Current time, UTC; the signature expires 60 days later.

    Raises:
        UsageError: No bundle, one variant twice, or a bundle of another release.
        BundleError: A bundle is damaged.
        TrustError: The model has no key here, or the server does not know it.
        ConflictError: A variant is published already with other content, or somebody else
            published at the same time, twice.
    """
    opened = _open_all(bundles, model=model, version=version)
    _check_delegated(client, keystore, model)
    for bundle in opened:
        client.upload_blob(bundle.path, sha256=bundle.sha256, size=bundle.size)
    entries = [_entry(bundle) for bundle in opened]
    try:
        return _sign_and_post(client, keystore, entries, model=model, version=version, now=now)
    except ConflictError:
        # Somebody else may have extended the same list since it was read: read it again, once.
        return _sign_and_post(client, keystore, entries, model=model, version=version, now=now)


def _open_all(bundles: Sequence[Path], *, model: str, version: str) -> list[Bundle]:
    if not bundles:
        raise UsageError("no bundle is named", where=f"{model} {version}")
    opened = [open_bundle(path) for path in bundles]
    for bundle in opened:
        named = (bundle.manifest.model, bundle.manifest.version)
        if named != (model, version):
            raise UsageError(
                f"is {named[0]} {named[1]}, not {model} {version}", where=str(bundle.path)
            )
    variants = [bundle.manifest.variant for bundle in opened]
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
