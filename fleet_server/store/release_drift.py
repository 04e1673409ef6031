"""References of published bundles and hours of releases in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select

from fleet_server.domain.goal import ReleaseState
from fleet_server.services.records.drift import ReferenceRecord, ReleaseHourRecord
from fleet_server.store.dialects import insert_or_ignore, insert_or_update
from fleet_server.store.schema import drift_references, release_hours, releases, variants


class SqlReleaseDrift:
    """References and hours within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put_reference(self, record: ReferenceRecord) -> None:
        """Keep what a bundle was proven on; again changes nothing."""
        row = {"digest": record.digest, "model": record.model, "reference": record.reference}
        insert_or_ignore(self._connection, drift_references, [row])

    def references(self) -> Mapping[str, ReferenceRecord]:
        """Return the references of bundles of listed releases, by digest."""
        listed = (
            select(variants.c.digest)
            .join(releases, releases.c.id == variants.c.release)
            .where(releases.c.state == ReleaseState.LISTED.value)
        )
        query = select(drift_references).where(drift_references.c.digest.in_(listed))
        return {
            row.digest: ReferenceRecord(digest=row.digest, model=row.model, reference=row.reference)
            for row in self._connection.execute(query)
        }

    def put(self, records: Iterable[ReleaseHourRecord]) -> None:
        """Add hours, or replace them."""
        for record in records:
            row = {"digest": record.digest, "at": record.hour.at, "hour": record.hour}
            insert_or_update(self._connection, release_hours, row)

    def since(self, at: datetime) -> Sequence[ReleaseHourRecord]:
        """Return the hours that began at a time or later, oldest first."""
        query = select(release_hours).where(release_hours.c.at >= at).order_by(release_hours.c.at)
        rows = self._connection.execute(query)
        return [ReleaseHourRecord(digest=row.digest, hour=row.hour) for row in rows]

    def forget_before(self, at: datetime) -> None:
        """Delete old hours."""
        self._connection.execute(delete(release_hours).where(release_hours.c.at < at))
