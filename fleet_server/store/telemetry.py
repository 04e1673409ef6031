"""Telemetry windows in SQL: each once, by (device, spool, seq)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, func, select

from edgekit import codec
from edgekit.telemetry import LogHistogram, Window
from fleet_server.domain.evidence import Summary
from fleet_server.services.records.telemetry import WindowRecord, WindowTotals
from fleet_server.store.batches import MANY, batched
from fleet_server.store.dialects import insert_or_ignore
from fleet_server.store.schema import answers, windows

_C = windows.c


_SUMMED = (
    func.count().label("windows"),
    func.coalesce(func.sum(_C.inferences + _C.errors), 0).label("inferences"),
    func.coalesce(func.sum(_C.errors), 0).label("errors"),
    func.coalesce(func.sum(_C.latencies), 0).label("latencies"),
    func.coalesce(func.sum(_C.sum_log_latency), 0.0).label("sum_log_latency"),
    func.coalesce(func.sum(_C.sum_sq_log_latency), 0.0).label("sum_sq_log_latency"),
    func.coalesce(func.max(_C.rss_mb), 0.0).label("rss_mb"),
    func.count(_C.log_p95).label("tails"),
    func.coalesce(func.sum(_C.log_p95), 0.0).label("sum_log_p95"),
    func.coalesce(func.sum(_C.rss_mb), 0.0).label("sum_rss_mb"),
)


class SqlTelemetry:
    """Windows within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, records: Sequence[WindowRecord]) -> None:
        """Store windows; those that are stored already change nothing."""
        if records:
            insert_or_ignore(self._connection, windows, [_row(record) for record in records])
        if answered := _answers(records):
            insert_or_ignore(self._connection, answers, answered)

    def totals(self, device_id: str) -> Sequence[WindowTotals]:
        """Add a device's windows up by model, digest and spool."""
        query = (
            select(
                _C.model,
                _C.digest,
                _C.spool_id,
                func.count().label("windows"),
                func.min(_C.seq).label("first_seq"),
                func.max(_C.seq).label("last_seq"),
                func.sum(_C.inferences).label("inferences"),
                func.sum(_C.errors).label("errors"),
                func.sum(_C.latencies).label("latencies"),
                func.sum(_C.sum_log_latency).label("sum_log_latency"),
                func.min(_C.ended_at).label("first_ended_at"),
                func.max(_C.ended_at).label("last_ended_at"),
            )
            .where(_C.device == device_id)
            .group_by(_C.model, _C.digest, _C.spool_id)
            .order_by(_C.model, func.min(_C.received_at), _C.digest)
        )
        return [WindowTotals(**_whole(row)) for row in self._connection.execute(query).mappings()]

    def last_digest(
        self, device_id: str, model: str, *, before: datetime, other_than: str = ""
    ) -> str | None:
        """Return what a device ran last before a time, as its windows say."""
        query = (
            select(_C.digest)
            .where(_C.device == device_id, _C.model == model, _C.ended_at <= before)
            .where(_C.digest != other_than)
            .order_by(_C.ended_at.desc())
            .limit(1)
        )
        digest = self._connection.execute(query).scalar()
        return None if digest is None else str(digest)

    def last_digests(
        self, device_ids: Iterable[str], model: str, *, since: datetime | None, before: datetime
    ) -> Mapping[str, str]:
        """Return what devices ran last in (since, before], as their windows say, by device."""
        latest: dict[str, tuple[datetime, str]] = {}
        for some in batched(device_ids, MANY):
            query = (
                select(_C.device, _C.digest, func.max(_C.ended_at).label("at"))
                .where(_C.device.in_(some), _C.model == model, _C.ended_at <= before)
                .group_by(_C.device, _C.digest)
            )
            if since is not None:
                query = query.where(_C.ended_at > since)
            for device, digest, at in self._connection.execute(query):
                latest[device] = max(latest.get(device, (at, digest)), (at, digest))
        return {device: digest for device, (_, digest) in latest.items()}

    def summary(
        self, device_id: str, model: str, digest: str, *, since: datetime, until: datetime
    ) -> Summary:
        """Merge the windows of one digest that ended in (since, until], server's clock."""
        query = select(*_SUMMED).where(
            _C.device == device_id,
            _C.model == model,
            _C.digest == digest,
            _C.ended_at > since,
            _C.ended_at <= until,
        )
        return _summary(_whole(self._connection.execute(query).mappings().one()))

    def summaries(
        self, device_ids: Iterable[str], model: str, *, since: datetime, until: datetime
    ) -> Mapping[tuple[str, str], Summary]:
        """Merge windows of a model that ended in (since, until], by device and digest."""
        return self._merged(device_ids, _C.model == model, since=since, until=until)

    def _merged(
        self,
        device_ids: Iterable[str],
        which: ColumnElement[bool],
        *,
        since: datetime,
        until: datetime,
    ) -> dict[tuple[str, str], Summary]:
        found = {}
        for some in batched(device_ids, MANY):
            query = (
                select(_C.device, _C.digest, *_SUMMED)
                .where(_C.device.in_(some), which)
                .where(_C.ended_at > since, _C.ended_at <= until)
                .group_by(_C.device, _C.digest)
            )
            for row in self._connection.execute(query).mappings():
                sums = _whole(row)
                key = (str(sums.pop("device")), str(sums.pop("digest")))
                found[key] = _summary(sums)
        return found

    def neighbours(
        self, device_ids: Iterable[str], model: str, *, since: datetime, until: datetime
    ) -> Mapping[tuple[str, str], Summary]:
        """Merge windows of all other models that ended in (since, until], by device and digest."""
        return self._merged(device_ids, _C.model != model, since=since, until=until)

    def latencies(
        self, device_id: str, model: str, digest: str, *, since: datetime
    ) -> LogHistogram:
        """Merge the latencies of the windows of one digest that ended after a time."""
        query = select(_C.body).where(
            _C.device == device_id,
            _C.model == model,
            _C.digest == digest,
            _C.ended_at > since,
        )
        total = LogHistogram()
        for body in self._connection.execute(query).scalars():
            total = total.merged(codec.decode(body, Window, where="database").latency_ms)
        return total

    def windows_since(
        self, device_ids: Iterable[str], model: str, since: datetime
    ) -> Mapping[str, int]:
        """Count the windows of a model that ended after a time, by device."""
        found: dict[str, int] = {}
        for some in batched(device_ids, MANY):
            query = (
                select(_C.device, func.count())
                .where(_C.device.in_(some), _C.model == model, _C.ended_at > since)
                .group_by(_C.device)
            )
            found |= {str(row[0]): int(row[1]) for row in self._connection.execute(query)}
        return found


def _answers(records: Sequence[WindowRecord]) -> list[dict[str, Any]]:
    """Return what devices recorded of their answers; the first of a device and sample stays."""
    rows = {
        (record.device_id, record.window.digest, sample): {
            "device": record.device_id,
            "digest": record.window.digest,
            "sample": sample,
            "model": record.window.model,
            "label": label,
            "at": record.received_at,
        }
        for record in records
        for sample, label in record.window.answers.items()
    }
    return list(rows.values())


def _summary(sums: dict[str, Any]) -> Summary:
    return Summary(max_rss_bytes=int(sums.pop("rss_mb") * (1 << 20)), **sums)


def _whole(row: RowMapping) -> dict[str, Any]:
    """Return a row whose sums of integers are integers; PostgreSQL's are decimals."""
    return {name: int(v) if isinstance(v, Decimal) else v for name, v in row.items()}


def _row(record: WindowRecord) -> dict[str, Any]:
    window = record.window
    p95 = window.latency_ms.quantile(0.95)
    nan = min(window.nan_outputs, window.inferences)  # an answer that is no number is none
    return {
        "device": record.device_id,
        "spool_id": record.spool_id,
        "seq": window.seq,
        "model": window.model,
        "digest": window.digest,
        "received_at": record.received_at,
        "ended_at": record.ended_at,
        "duration_s": window.duration_s,
        "state": window.state,
        "inferences": window.inferences - nan,
        "errors": sum(window.errors.values()) + nan,
        "latencies": window.latency_ms.count,
        "sum_log_latency": window.latency_ms.sum_log,
        "sum_sq_log_latency": window.latency_ms.sum_log_squared,
        "rss_mb": window.rss_mb,
        "log_p95": math.log(p95) if p95 > 0 else None,
        "body": codec.encode(window).decode(),
    }
