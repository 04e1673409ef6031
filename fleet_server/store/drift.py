"""Hours of drift counts in SQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from edgekit import codec
from edgekit.telemetry import Window
from fleet_server.domain.drift import Hour, add_counts
from fleet_server.services.records.drift import DriftRecord
from fleet_server.store.dialects import insert_or_update
from fleet_server.store.schema import drift_hours, releases, windows

CONFIDENCE = "confidence"
_C = drift_hours.c


class SqlDriftHours:
    """Hours within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def summed(self, since: datetime, until: datetime) -> Mapping[tuple[str, str, str], Hour]:
        """Merge the counts of windows that ended in (since, until], by device, model and digest."""
        found: dict[tuple[str, str, str], Hour] = {}
        models = self._connection.execute(select(releases.c.model).distinct()).scalars().all()
        for model in models:
            query = select(windows.c.device, windows.c.body).where(
                windows.c.model == model, windows.c.ended_at > since, windows.c.ended_at <= until
            )
            for device, body in self._connection.execute(query):
                window = codec.decode(body, Window, where="database")
                counts = dict(window.drift)
                if any(window.confidence):
                    counts.setdefault(CONFIDENCE, window.confidence)
                if counts:
                    key = (str(device), window.model, window.digest)
                    have = found.get(key, Hour(at=since, counts={}))
                    classes = dict(Counter(have.classes) + Counter(window.classes))
                    counts = add_counts(have.counts, counts)
                    found[key] = Hour(at=since, counts=counts, classes=classes)
        return found

    def put(self, records: Iterable[DriftRecord]) -> None:
        """Add hours, or replace them."""
        for record in records:
            row = {
                "device": record.device_id,
                "digest": record.digest,
                "at": record.hour.at,
                "model": record.model,
                "counts": dict(record.hour.counts),
                "drifted": record.hour.drifted,
                "watched": record.watched,
                "told": record.told,
            }
            insert_or_update(self._connection, drift_hours, row)

    def past(self, device_id: str, digest: str, *, since: datetime) -> Sequence[Hour]:
        """Return the hours of a device and bundle from a time on, oldest first."""
        query = select(drift_hours).where(
            _C.device == device_id, _C.digest == digest, _C.at >= since
        )
        return [_record(row).hour for row in self._connection.execute(query.order_by(_C.at))]

    def recent(self, model: str, *, since: datetime) -> Sequence[DriftRecord]:
        """Return the hours of a model ("": of all) that began at a time or later, oldest first."""
        query = select(drift_hours).where(_C.at >= since)
        if model:
            query = query.where(_C.model == model)
        ordered = query.order_by(_C.at, _C.device)
        return [_record(row) for row in self._connection.execute(ordered)]

    def forget_before(self, at: datetime) -> None:
        """Delete old hours."""
        self._connection.execute(delete(drift_hours).where(_C.at < at))


def _record(row: Row[Any]) -> DriftRecord:
    return DriftRecord(
        device_id=row.device,
        model=row.model,
        digest=row.digest,
        hour=Hour(at=row.at, counts=row.counts, drifted=row.drifted),
        watched=row.watched,
        told=row.told,
    )
