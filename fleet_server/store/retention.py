"""Telemetry over the years: old windows become one row a device and day; exported as Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, String, and_, cast, delete, func, insert, select

from edgekit.errors import ConflictError, MissingExtraError, StorageError
from fleet_server.store.columns import UtcDateTime
from fleet_server.store.schema import window_days, windows

_ROWS = 10_000

_SUMS = ("inferences", "errors", "latencies", "sum_log_latency", "sum_sq_log_latency")


def roll_up(connection: Connection, *, before: datetime, first: str, last: str) -> int:
    """Turn windows received before a time into rows of days; nothing is counted twice or lost.

    Args:
        connection: Of one transaction.
        before: UTC.
        first: Device, in the order of ids, with which it begins.
        last: Device with which it ends.

    Returns:
        How many windows became rows of days.
    """
    day = cast(func.date(windows.c.received_at), String).label("day")
    keys = (windows.c.device, windows.c.model, windows.c.digest)
    old = and_(windows.c.device.between(first, last), windows.c.received_at < before)
    summed = (
        select(
            day,
            *keys,
            func.count().label("windows"),
            *(func.sum(windows.c[name]).label(name) for name in _SUMS),
            func.max(windows.c.rss_mb).label("rss_mb"),
        )
        .where(old)
        .group_by(day, *keys)
    )
    names = ["day", "device", "model", "digest", "windows", *_SUMS, "rss_mb"]
    connection.execute(insert(window_days).from_select(names, summed))
    return connection.execute(delete(windows).where(old)).rowcount


def export(connection: Connection, out: Path, *, since: datetime, until: datetime) -> int:
    """Write windows received in [since, until) to a Parquet file; returns how many.

    Times are in UTC, the whole window is in the column `body` as JSON.

    Raises:
        MissingExtraError: pyarrow is not installed.
        ConflictError: There is such a file.
        StorageError: It cannot be written.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError("pyarrow", "export") from error
    if out.exists():
        raise ConflictError("is there already", where=str(out))
    part, count = out.with_name(out.name + ".part"), 0
    schema = _arrow_schema(pa)
    try:
        with parquet.ParquetWriter(part, schema) as writer:
            for rows in _batches(connection, since, until):
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                count += len(rows)
        part.replace(out)
    except OSError as error:
        raise StorageError(f"cannot be written ({error.strerror})", where=str(out)) from error
    finally:
        part.unlink(missing_ok=True)
    return count


def _batches(
    connection: Connection, since: datetime, until: datetime
) -> Iterator[list[dict[str, Any]]]:
    query = (
        select(windows)
        .where(windows.c.received_at >= since, windows.c.received_at < until)
        .order_by(windows.c.device, windows.c.spool_id, windows.c.seq)
    )
    with connection.execute(query.execution_options(yield_per=_ROWS)) as found:
        for rows in found.mappings().partitions():
            yield [dict(row) for row in rows]


def _arrow_schema(pa: Any) -> Any:  # noqa: ANN401 (pyarrow has no types)
    time = pa.timestamp("us", tz="UTC")
    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    return pa.schema(
        [
            (c.name, time if isinstance(c.type, UtcDateTime) else kinds[c.type.python_type])
            for c in windows.columns
        ]
    )
