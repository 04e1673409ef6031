"""Benchmark jobs in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from fleet_server.services.records.benchmarks import BenchmarkRecord, BenchmarkState
from fleet_server.store.batches import MANY, batched
from fleet_server.store.schema import benchmarks


class SqlBenchmarks:
    """Jobs within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, record: BenchmarkRecord) -> BenchmarkRecord:
        """Add a job; returns it with its number."""
        made = self._connection.execute(insert(benchmarks).values(_row(record)))
        key = made.inserted_primary_key
        assert key is not None  # noqa: S101 (a single insert has one)
        number = int(key[0])
        return replace(record, id=number, job=replace(record.job, id=number))

    def put(self, record: BenchmarkRecord) -> None:
        """Replace a job."""
        self._connection.execute(
            update(benchmarks).where(benchmarks.c.id == record.id).values(_row(record))
        )

    def get(self, number: int) -> BenchmarkRecord | None:
        """Return a job."""
        query = select(benchmarks).where(benchmarks.c.id == number)
        row = self._connection.execute(query).first()
        return None if row is None else _record(row)

    def waiting(self, device_ids: Iterable[str]) -> Mapping[str, int]:
        """Return the number of the oldest job that devices have not answered, by device."""
        c, found = benchmarks.c, dict[str, int]()
        for some in batched(device_ids, MANY):
            query = (
                select(c.device, func.min(c.id))
                .where(c.device.in_(some), c.state == BenchmarkState.WAITING)
                .group_by(c.device)
            )
            found |= {str(row[0]): int(row[1]) for row in self._connection.execute(query)}
        return found

    def page(
        self, *, digest: str, state: BenchmarkState | None, limit: int
    ) -> Sequence[BenchmarkRecord]:
        """Return jobs, newest first, of one bundle or ("") of all."""
        query = select(benchmarks).order_by(benchmarks.c.id.desc()).limit(limit)
        if digest:
            query = query.where(benchmarks.c.digest == digest)
        if state is not None:
            query = query.where(benchmarks.c.state == state)
        return [_record(row) for row in self._connection.execute(query)]


def _row(record: BenchmarkRecord) -> dict[str, Any]:
    return {
        "device": record.device_id,
        "model": record.model,
        "version": record.version,
        "variant": record.variant,
        "digest": record.job.digest,
        "job": record.job,
        "state": record.state,
        "asked_at": record.asked_at,
        "ended_at": record.ended_at,
        "reason": record.reason,
        "detail": record.detail,
        "report": record.report,
    }


def _record(row: Row[Any]) -> BenchmarkRecord:
    return BenchmarkRecord(
        id=row.id,
        device_id=row.device,
        model=row.model,
        version=row.version,
        variant=row.variant,
        job=replace(row.job, id=row.id),
        state=row.state,
        asked_at=row.asked_at,
        ended_at=row.ended_at,
        reason=row.reason,
        detail=row.detail,
        report=row.report,
    )
