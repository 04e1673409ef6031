"""Devices and tokens in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    MappingResult,
    RowMapping,
    Select,
    bindparam,
    delete,
    func,
    select,
    update,
)

from fleet_server.domain.selector import Selector
from fleet_server.services.records.devices import DeviceRecord, EnrolmentRecord
from fleet_server.store import schema
from fleet_server.store.batches import MANY, batched
from fleet_server.store.dialects import insert_or_update

_DEVICE_FIELDS = tuple(field.name for field in fields(DeviceRecord))
_PAGE = 1000


class SqlDevices:
    """Devices within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, device_id: str) -> DeviceRecord | None:
        """Return a device by id."""
        table = schema.devices
        row = self._rows(select(table).where(table.c.id == device_id)).first()
        return None if row is None else DeviceRecord(**row)

    def put(self, device: DeviceRecord) -> None:
        """Add a device or replace it."""
        row = {name: getattr(device, name) for name in _DEVICE_FIELDS}
        insert_or_update(self._connection, schema.devices, row)

    def some(self, device_ids: Iterable[str]) -> Mapping[str, DeviceRecord]:
        """Return devices by id; unknown ids are left out."""
        table = schema.devices
        rows = [
            row
            for ids in batched(device_ids, MANY)
            for row in self._rows(select(table).where(table.c.id.in_(ids))).all()
        ]
        return {row["id"]: DeviceRecord(**row) for row in rows}

    def page(
        self, *, selector: Selector, after: str = "", limit: int | None = None
    ) -> Sequence[DeviceRecord]:
        """Return devices whose labels match, by id, beginning behind `after`."""
        found: list[DeviceRecord] = []
        while limit is None or len(found) < limit:
            rows = self._after(after)
            if not rows:
                break
            after = rows[-1]["id"]
            found += [
                d for d in (DeviceRecord(**row) for row in rows) if selector.matches(d.labels)
            ]
        return found[:limit]

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

    def _after(self, after: str) -> Sequence[RowMapping]:
        table = schema.devices
        query = select(table).where(table.c.id > after).order_by(table.c.id).limit(_PAGE)
        return self._rows(query).all()

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
