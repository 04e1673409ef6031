"""Devices and tokens in SQL."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    MappingResult,
    Select,
    bindparam,
    delete,
    func,
    select,
    update,
)

from fleet_server.domain.assignment import cell_of
from fleet_server.domain.selector import Selector
from fleet_server.services.records.devices import (
    DeviceRecord,
    DeviceState,
    EnrolmentRecord,
    Member,
)
from fleet_server.store import schema
from fleet_server.store.batches import MANY, batched
from fleet_server.store.dialects import insert_or_update
from fleet_server.store.labels import text_of, where_labels

_DEVICE_FIELDS = tuple(field.name for field in fields(DeviceRecord))
_DEVICE = tuple(schema.devices.c[name] for name in _DEVICE_FIELDS)


def device_row(device: DeviceRecord) -> dict[str, Any]:
    """Return a device as it is stored: what it says, and what samples of the fleet ask for."""
    row = {name: getattr(device, name) for name in _DEVICE_FIELDS}
    return {**row, "kind": device.kind, "cell": cell_of(device.id)}


class SqlDevices:
    """Devices within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, device_id: str) -> DeviceRecord | None:
        """Return a device by id."""
        row = self._rows(select(*_DEVICE).where(schema.devices.c.id == device_id)).first()
        return None if row is None else DeviceRecord(**row)

    def put(self, device: DeviceRecord) -> None:
        """Add a device or replace it."""
        insert_or_update(self._connection, schema.devices, device_row(device))

    def some(self, device_ids: Iterable[str]) -> Mapping[str, DeviceRecord]:
        """Return devices by id; unknown ids are left out."""
        rows = [
            row
            for ids in batched(device_ids, MANY)
            for row in self._rows(select(*_DEVICE).where(schema.devices.c.id.in_(ids))).all()
        ]
        return {row["id"]: DeviceRecord(**row) for row in rows}

    def page(
        self, *, selector: Selector, after: str = "", limit: int | None = None
    ) -> Sequence[DeviceRecord]:
        """Return devices whose labels match, by id, beginning behind `after`."""
        table = schema.devices
        query = select(*_DEVICE).where(table.c.id > after, *self._where(selector))
        query = query.order_by(table.c.id).limit(limit)
        return [DeviceRecord(**row) for row in self._rows(query)]

    def kinds(self) -> Sequence[DeviceRecord]:
        """Return one device of each kind; the index is asked once a kind, whatever the fleet."""
        table, found = schema.devices, list[DeviceRecord]()
        query = select(*_DEVICE).order_by(table.c.kind, table.c.cell).limit(1)
        row = self._rows(query).first()
        while row is not None:
            found.append(DeviceRecord(**row))
            row = self._rows(query.where(table.c.kind > found[-1].kind)).first()
        return found

    def members(
        self,
        kinds: Collection[str],
        cells: Collection[int],
        *,
        selector: Selector,
        unpinned: str,
    ) -> Sequence[Member]:
        """Return the active devices of some kinds in some cells, without those of a pinned model.

        Args:
            kinds: As devices have them.
            cells: Parts of the fleet.
            selector: Of their labels.
            unpinned: A model; who has a pinned version of it is left out.
        """
        c = schema.devices.c
        query = select(c.id, c.kind, c.labels, c.last_seen_at).where(
            c.kind.in_(kinds),
            c.cell.in_(cells),
            c.state == DeviceState.ACTIVE,
            text_of(c.pins, unpinned, self._connection.dialect.name).is_(None),
            *self._where(selector),
        )
        return [Member(**row) for row in self._rows(query)]

    def count(self) -> int:
        """Return how many devices there are."""
        query = select(func.count()).select_from(schema.devices)
        return int(self._connection.execute(query).scalar_one())

    def seen(self, times: Mapping[str, datetime]) -> None:
        """Set the time of the last poll of many devices; unknown ids are ignored.

        In the order of ids, so that two processes that do this never wait for each other.
        """
        if not times:
            return
        table = schema.devices
        statement = (
            update(table)
            .where(table.c.id == bindparam("device"))
            .values(last_seen_at=bindparam("at"))
        )
        rows = [{"device": device, "at": at} for device, at in sorted(times.items())]
        self._connection.execute(statement, rows)

    def _where(self, selector: Selector) -> list[ColumnElement[bool]]:
        return where_labels(schema.devices.c.labels, selector, self._connection.dialect.name)

    def _rows(self, query: Select[Any]) -> MappingResult:
        return self._connection.execute(query).mappings()


class SqlTokens:
    """Tokens within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def enrolment(self, token_sha256: str) -> EnrolmentRecord | None:
        """Return an enrolment token by its digest."""
        table = schema.enrolment_tokens
        query = select(table).where(table.c.token_sha256 == token_sha256)
        row = self._connection.execute(query).mappings().first()
        return None if row is None else EnrolmentRecord(**row)

    def put_enrolment(self, record: EnrolmentRecord) -> None:
        """Add an enrolment token or replace it."""
        row = {field.name: getattr(record, field.name) for field in fields(EnrolmentRecord)}
        insert_or_update(self._connection, schema.enrolment_tokens, row)

    def drop_enrolments(self, ended_by: datetime) -> None:
        """Forget the enrolment tokens whose life was over at a time."""
        table = schema.enrolment_tokens
        self._connection.execute(delete(table).where(table.c.expires_at <= ended_by))

    def gateway(self, token_sha256: str) -> str | None:
        """Return the name of the gateway with this token."""
        table = schema.gateway_tokens
        query = select(table.c.name).where(table.c.token_sha256 == token_sha256)
        name = self._connection.execute(query).scalar()
        return None if name is None else str(name)

    def put_gateway(self, token_sha256: str, name: str, *, now: datetime) -> None:
        """Add a gateway's token."""
        row = {"token_sha256": token_sha256, "name": name, "created_at": now}
        insert_or_update(self._connection, schema.gateway_tokens, row)

    def drop_gateway(self, name: str) -> int:
        """Forget a gateway's tokens; returns how many there were."""
        table = schema.gateway_tokens
        return self._connection.execute(delete(table).where(table.c.name == name)).rowcount
