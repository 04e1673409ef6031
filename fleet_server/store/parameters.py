"""Parameters of models on devices in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from fleet_server.services.records.parameters import ParametersRecord, ParametersState
from fleet_server.store.batches import MANY, batched
from fleet_server.store.schema import device_parameters

_C = device_parameters.c


class SqlDeviceParameters:
    """Versions within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, record: ParametersRecord) -> None:
        """Add a version."""
        row = {
            "device": record.device_id,
            "model": record.model,
            "version": record.version,
            "origin": record.origin,
            "body": record.values,
            "by": record.by,
            "at": record.at,
            "state": record.state.value,
            "digest": record.digest,
            "detail": record.detail,
        }
        self._connection.execute(insert(device_parameters).values(row))

    def answered(self, record: ParametersRecord) -> None:
        """Replace state, digest and detail of a version."""
        self._connection.execute(
            update(device_parameters)
            .where(
                _C.device == record.device_id,
                _C.model == record.model,
                _C.version == record.version,
            )
            .values(state=record.state.value, digest=record.digest, detail=record.detail)
        )

    def of_device(self, device_id: str) -> Sequence[ParametersRecord]:
        """Return every version on a device, by model and version."""
        query = select(device_parameters).where(_C.device == device_id)
        ordered = query.order_by(_C.model, _C.version)
        return [_record(row) for row in self._connection.execute(ordered)]

    def counts(self, device_ids: Iterable[str]) -> Mapping[str, int]:
        """Return how many versions there are, by device: another number after each change."""
        found: dict[str, int] = {}
        for some in batched(device_ids, MANY):
            query = select(_C.device, func.count()).where(_C.device.in_(some)).group_by(_C.device)
            found |= {str(row[0]): int(row[1]) for row in self._connection.execute(query)}
        return found


def _record(row: Row[Any]) -> ParametersRecord:
    return ParametersRecord(
        device_id=row.device,
        model=row.model,
        version=row.version,
        origin=row.origin,
        values=row.body,
        by=row.by,
        at=row.at,
        state=ParametersState(row.state),
        digest=row.digest,
        detail=row.detail,
    )
