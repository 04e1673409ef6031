"""Releases: what a person signed and uploaded becomes one immutable release, or nothing does."""

from __future__ import annotations

import hashlib
import logging
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from edgekit import codec
from edgekit.bundle import Bundle, file_digest, open_bundle
from edgekit.client.wire.releases import NewRelease
from edgekit.device import Requirements
from edgekit.drift import read_reference
from edgekit.errors import ConflictError, FormatError, TrustError, UsageError
from edgekit.trust import bundle_path
from edgekit.trust.metadata import Metadata, Targets, load
from fleet_server.domain.events import EventKind
from fleet_server.domain.goal import ReleaseState
from fleet_server.services.errors import NotFoundError
from fleet_server.services.ports.database import Database
from fleet_server.services.ports.files import Blobs
from fleet_server.services.records.drift import ReferenceRecord
from fleet_server.services.records.events import EventRecord
from fleet_server.services.records.releases import ReleaseRecord, VariantRecord
from fleet_server.services.trust import TrustService

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}\.[A-Za-z0-9]{1,16}")


class PublishService:
    """Publishes, lists and withdraws releases."""

    def __init__(self, database: Database, trust: TrustService, blobs: Blobs) -> None:
        self._database = database
        self._trust = trust
        self._blobs = blobs

    def publish(self, wanted: NewRelease, *, by: str, now: datetime) -> ReleaseRecord:
        """Publish a release; durable on return. Doing the same again changes nothing.

        Every target that the new metadata lists for this version must lie here as a blob that is
        a bundle of just that model, version and variant. The metadata becomes visible first, so
        that a kill in between leaves a listed release that is not offered; publishing the same
        again completes it.

        Raises:
            FormatError: The metadata lists nothing of this version, or a bundle is another one.
            TrustError: The metadata is not signed by the model's key.
            BundleError: A bundle, or its drift reference, is damaged.
            ConflictError: The version is published with other content, or somebody else
                published in between.
        """
        where = f"{wanted.model} {wanted.version}"
        data = wanted.targets.encode("utf-8", "surrogatepass")
        listed = load(data, Targets, where=where)
        variants = self._variants(wanted, listed)
        with self._database.read() as tables:
            known = tables.releases.get(wanted.model, wanted.version)
        if known is not None:
            _same(known, variants, where=where)
        references = self._references(wanted.model, variants)
        self._trust.put_model(wanted.model, data, now=now)
        release = ReleaseRecord(
            model=wanted.model,
            version=wanted.version,
            state=ReleaseState.LISTED,
            published_at=now,
            variants=variants,
        )
        with self._database.write() as tables:
            known = tables.releases.get(wanted.model, wanted.version)
            for reference in references:
                tables.release_drift.put_reference(reference)
            if known is not None:
                return _same(known, variants, where=where)
            self._require(variants)
            tables.releases.add(release)
            tables.changes.record(None)
            tables.events.tell(_event(release, EventKind.RELEASE_PUBLISHED, by=by, now=now))
        fields = {"release": where, "variants": ",".join(v.variant for v in variants)}
        logger.info("release published", extra={"fields": fields})
        return release

    def get(self, model: str, version: str) -> ReleaseRecord:
        """Return a release.

        Raises:
            NotFoundError: There is none.
        """
        with self._database.read() as tables:
            release = tables.releases.get(model, version)
        if release is None:
            raise NotFoundError("there is no such release", where=f"{model} {version}")
        return release

    def is_listed(self, digest: str) -> bool:
        """Say whether a release that is neither withdrawn nor revoked has this bundle."""
        with self._database.read() as tables:
            return tables.releases.lists(digest)

    def page(self, *, after: str, limit: int | None) -> list[ReleaseRecord]:
        """Return releases in the order of publishing, behind MODEL/VERSION or from the first.

        Raises:
            NotFoundError: There is no such release.
        """
        model, _, version = after.partition("/")
        if after:
            self.get(model, version)
        with self._database.read() as tables:
            behind = (model, version) if after else None
            return list(tables.releases.page(after=behind, limit=limit))

    def all(self) -> list[ReleaseRecord]:
        """Return every release, oldest first."""
        with self._database.read() as tables:
            return list(tables.releases.all())

    def withdraw(self, model: str, version: str, *, by: str, now: datetime) -> ReleaseRecord:
        """Stop offering a release; devices that run it keep it. Doing it again changes nothing.

        Raises:
            NotFoundError: There is none.
        """
        release = self.get(model, version)
        with self._database.write() as tables:
            tables.releases.set_state(model, version, ReleaseState.WITHDRAWN)
            tables.changes.record(None)
            if release.state is not ReleaseState.WITHDRAWN:
                tables.events.tell(_event(release, EventKind.RELEASE_WITHDRAWN, by=by, now=now))
        logger.info("release withdrawn", extra={"fields": {"release": f"{model} {version}"}})
        return self.get(model, version)

    def revoke(self, wanted: NewRelease, *, by: str, now: datetime) -> ReleaseRecord:
        """Unlist a release and have it replaced at the next contact; again changes nothing.

        Args:
            wanted: The release, and the model's signed metadata without its bundles.
            by: The person who does it.
            now: Current time, UTC.

        Raises:
            NotFoundError: There is none.
            FormatError: The metadata still lists the release, or lacks another one.
            TrustError: The metadata is not signed by the model's key.
        """
        where = f"{wanted.model} {wanted.version}"
        before = self.get(wanted.model, wanted.version)
        data = wanted.targets.encode("utf-8", "surrogatepass")
        listed = set(load(data, Targets, where=where).signed.targets)
        for release in self.all():
            if release.model != wanted.model or release.state is ReleaseState.REVOKED:
                continue
            gone = not listed & {variant.target for variant in release.variants}
            if gone != (release.version == wanted.version):
                what = "lacks another release" if gone else "still lists the release"
                raise FormatError(f"the metadata {what}", where=f"{wanted.model} {release.version}")
        with self._database.write() as tables:
            tables.releases.set_state(wanted.model, wanted.version, ReleaseState.REVOKED)
            tables.changes.record(None)
            if before.state is not ReleaseState.REVOKED:
                tables.events.tell(_event(before, EventKind.RELEASE_REVOKED, by=by, now=now))
        self._trust.put_model(wanted.model, data, now=now)
        logger.warning("release revoked", extra={"fields": {"release": where}})
        return self.get(wanted.model, wanted.version)

    def _references(self, model: str, variants: tuple[VariantRecord, ...]) -> list[ReferenceRecord]:
        """Read what each bundle was proven on, where it says so."""
        records = []
        for variant in variants:
            blob = None if variant.file else self._blobs.find(variant.digest)
            reference = read_reference(open_bundle(blob)) if blob else None
            if reference is not None:
                found = ReferenceRecord(digest=variant.digest, model=model, reference=reference)
                records.append(found)
        return records

    def _require(self, variants: tuple[VariantRecord, ...]) -> None:
        """Look again, while nobody else writes: garbage collection may have taken one."""
        for variant in variants:
            if self._blobs.find(variant.digest) is None:
                raise UsageError("is gone meanwhile", where=variant.target, todo="publish again")

    def _variants(self, wanted: NewRelease, listed: Metadata[Targets]) -> tuple[VariantRecord, ...]:
        prefix = f"models/{wanted.model}/{wanted.version}/"
        targets = {p: t for p, t in listed.signed.targets.items() if p.startswith(prefix)}
        if not targets:
            raise FormatError("the metadata lists no bundle of this version", where=prefix)
        return tuple(
            self._variant(wanted, path, target.length, target.hashes, target.custom)
            for path, target in sorted(targets.items())
        )

    def _variant(
        self,
        wanted: NewRelease,
        path: str,
        length: int,
        hashes: dict[str, str],
        custom: dict[str, Any] | None,
    ) -> VariantRecord:
        sha256 = hashes.get("sha256", "")
        blob = self._blobs.find(sha256)
        if blob is None:
            raise UsageError("is listed but was not uploaded", where=path, todo="upload it first")
        file = str((custom or {}).get("file", ""))
        if file:
            variant, requires = _foreign(wanted, path, file, custom or {})
        else:
            bundle = open_bundle(blob)
            _check_binding(wanted, path, bundle, custom)
            variant, requires = bundle.manifest.variant, bundle.manifest.requires
        if (blob.stat().st_size, file_digest(blob)) != (length, sha256):
            raise TrustError("the blob here is not what was signed", where=path)
        sha1, md5 = _legacy_digests(blob)
        return VariantRecord(
            variant=variant,
            digest=sha256,
            sha1=sha1,
            md5=md5,
            size=length,
            target=path,
            requires=requires,
            file=file,
        )


def _event(release: ReleaseRecord, kind: EventKind, *, by: str, now: datetime) -> EventRecord:
    did = kind.value.removeprefix("release_")
    variants = [variant.variant for variant in release.variants]
    return EventRecord(
        at=now,
        kind=kind.value,
        text=f"{release.model} {release.version} is {did} by {by}.",
        model=release.model,
        version=release.version,
        by=by,
        body={"variants": variants},
    )


def _check_binding(
    wanted: NewRelease, path: str, bundle: Bundle, custom: dict[str, Any] | None
) -> None:
    manifest = bundle.manifest
    named = {"model": wanted.model, "version": wanted.version, "variant": manifest.variant}
    inside = {"model": manifest.model, "version": manifest.version, "variant": manifest.variant}
    signed = {key: (custom or {}).get(key) for key in named}
    if inside != named or signed != named or path != bundle_path(**named):
        raise FormatError(
            f"holds {manifest.model} {manifest.version} {manifest.variant}, and is listed as"
            " another",
            where=path,
        )


def _foreign(
    wanted: NewRelease, path: str, file: str, custom: dict[str, Any]
) -> tuple[str, Requirements]:
    """Return variant and requirements of a file that is no bundle, as they were signed."""
    variant = str(custom.get("variant", ""))
    named = {"model": wanted.model, "version": wanted.version, "variant": variant}
    if not _FILE.fullmatch(file) or {key: custom.get(key) for key in named} != named:
        raise FormatError("is listed as another, or under a strange file name", where=path)
    if path != bundle_path(**named):
        raise FormatError("is listed under another path", where=path)
    return variant, codec.convert(custom.get("requires"), Requirements, where=path)


def _same(
    known: ReleaseRecord, variants: tuple[VariantRecord, ...], *, where: str
) -> ReleaseRecord:
    if known.state is ReleaseState.REVOKED:
        raise ConflictError("is revoked", where=where, todo="use a new version")
    if codec.encode(known.variants) != codec.encode(variants):
        raise ConflictError(
            "is published already with other content", where=where, todo="use a new version"
        )
    return known


def _legacy_digests(path: Path) -> tuple[str, str]:
    """Return SHA-1 and MD5, which DDI clients compare; trust rests on SHA-256 alone."""
    sha1 = hashlib.sha1(usedforsecurity=False)
    md5 = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sha1.update(chunk)
            md5.update(chunk)
    return sha1.hexdigest(), md5.hexdigest()
