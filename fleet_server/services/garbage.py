"""Garbage collection: says what nobody needs any more, and takes it away when asked to.

What counts as needed is a rule of the domain; what a bundle was made of is kept, so that last
month's run can still be told. Devices and releases may change meanwhile: each bundle is looked at
again, while nobody else writes, before it goes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from edgekit import codec
from edgekit.client.wire.garbage import GarbageBundle, GarbageView
from fleet_server.domain.events import EventKind
from fleet_server.domain.garbage import Stored, Use, garbage, garbage_deltas
from fleet_server.services.inspection import lineage_of
from fleet_server.services.ports.database import Database
from fleet_server.services.ports.files import Blobs, DeltaFiles
from fleet_server.services.records.events import EventRecord

logger = logging.getLogger(__name__)

PATIENCE = timedelta(days=1)
"""How long uploads wait for the release that will name them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """What nobody needs.

    Attributes:
        bundles: Bundles.
        deltas: Base, target and bytes of deltas.
        names: Digest to the release and variant that name it.
    """

    bundles: Sequence[Stored]
    deltas: Sequence[tuple[str, str, int]]
    names: dict[str, str]


class GarbageService:
    """Finds and takes away what nobody needs."""

    def __init__(self, database: Database, blobs: Blobs, deltas: DeltaFiles) -> None:
        self._database = database
        self._blobs = blobs
        self._deltas = deltas

    def find(self, *, now: datetime) -> GarbageView:
        """Say what would be taken away; changes nothing."""
        return _view(self._find(now=now), collected=False)

    def collect(self, *, by: str, now: datetime) -> GarbageView:
        """Take away what nobody needs; returns what went. Doing it again takes nothing more.

        Raises:
            StorageError: Something cannot be taken away; what went before it is gone.
        """
        found = self._find(now=now)
        self._remember(found.bundles, now=now)
        gone = []
        with self._database.write() as tables:
            use = tables.bundles.named([blob.digest for blob in found.bundles])
            for blob in garbage(found.bundles, use, now=now, patience=PATIENCE):
                self._blobs.delete(blob.digest)
                gone.append(blob)
        for old, new, _ in found.deltas:
            self._deltas.delete(old, new)
        unfinished = self._blobs.drop_unfinished(before=now - PATIENCE)
        view = _view(replace(found, bundles=gone), collected=True)
        fields = {"bundles": len(gone), "deltas": len(found.deltas), "bytes": view.bytes}
        logger.info("garbage collected", extra={"fields": fields})
        if gone or found.deltas:
            self._tell(view, by=by, now=now)
        return replace(view, unfinished_bytes=unfinished)

    def _tell(self, view: GarbageView, *, by: str, now: datetime) -> None:
        text = f"{len(view.bundles)} bundles that nobody needs were taken away by {by}."
        event = EventRecord(
            at=now,
            kind=EventKind.GARBAGE_COLLECTED.value,
            text=text,
            by=by,
            body=codec.plain(view),
        )
        with self._database.write() as tables:
            tables.events.tell(event)

    def _find(self, *, now: datetime) -> Garbage:
        stored, deltas = list(self._blobs.all()), list(self._deltas.all())
        with self._database.read() as tables:
            use, releases = tables.bundles.use(), tables.releases.all()
        bundles = garbage(stored, use, now=now, patience=PATIENCE)
        names = {
            v.digest: f"{r.model} {r.version} {v.variant}" for r in releases for v in r.variants
        }
        return Garbage(bundles=bundles, deltas=_unneeded(deltas, use, stored, bundles), names=names)

    def _remember(self, bundles: Sequence[Stored], *, now: datetime) -> None:
        lineages = {}
        for blob in bundles:
            path = self._blobs.find(blob.digest)
            lineages[blob.digest] = lineage_of(path) if path is not None else None
        with self._database.write() as tables:
            for digest, lineage in lineages.items():
                tables.bundles.collected(digest, lineage, now=now)


def _unneeded(
    deltas: Sequence[tuple[str, str, int]],
    use: Use,
    stored: Sequence[Stored],
    bundles: Sequence[Stored],
) -> list[tuple[str, str, int]]:
    stays = frozenset(blob.digest for blob in stored) - {blob.digest for blob in bundles}
    gone = set(garbage_deltas([(old, new) for old, new, _ in deltas], use, stays))
    return [delta for delta in deltas if delta[:2] in gone]


def _view(found: Garbage, *, collected: bool) -> GarbageView:
    bundles = tuple(
        GarbageBundle(digest=blob.digest, size=blob.size, release=found.names.get(blob.digest, ""))
        for blob in found.bundles
    )
    return GarbageView(
        collected=collected,
        bundles=bundles,
        deltas=len(found.deltas),
        bytes=sum(b.size for b in bundles) + sum(size for _, _, size in found.deltas),
    )
