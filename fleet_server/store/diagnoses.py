"""Diagnose bundles in SQL."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from fleet_server.services.records.diagnoses import DiagnosisRecord
from fleet_server.store.batches import MANY, batched
from fleet_server.store.schema import diagnoses

_C = diagnoses.c


class SqlDiagnoses:
    """Diagnose bundles within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, record: DiagnosisRecord) -> DiagnosisRecord:
        """Add a request; returns it with its number."""
        row = {
            "device": record.device_id,
            "asked_at": record.asked_at,
            "asked_by": record.asked_by,
            "ended_at": None,
            "problem": "",
            "size": 0,
            "bundle": "",
        }
        key = self._connection.execute(insert(diagnoses).values(row)).inserted_primary_key
        assert key is not None  # noqa: S101 (a single insert has one)
        return replace(record, id=int(key[0]))

    def end(self, record: DiagnosisRecord, bundle: bytes) -> None:
        """Store what a device answered."""
        answer = {
            "ended_at": record.ended_at,
            "problem": record.problem,
            "size": len(bundle),
            "bundle": b64encode(bundle).decode(),
        }
        self._connection.execute(update(diagnoses).where(_C.id == record.id).values(answer))

    def get(self, number: int) -> DiagnosisRecord | None:
        """Return a request."""
        known = (_C.device, _C.asked_at, _C.asked_by, _C.ended_at, _C.problem, _C.size)
        row = self._connection.execute(select(_C.id, *known).where(_C.id == number)).first()
        if row is None:
            return None
        return DiagnosisRecord(
            id=row.id,
            device_id=row.device,
            asked_at=row.asked_at,
            asked_by=row.asked_by,
            ended_at=row.ended_at,
            problem=row.problem,
            size=row.size,
        )

    def bundle(self, number: int) -> bytes:
        """Return the bytes of a bundle; empty for none."""
        query = select(_C.bundle).where(_C.id == number)
        return b64decode(self._connection.execute(query).scalar() or "")

    def waiting(self, device_ids: Iterable[str]) -> Mapping[str, int]:
        """Return the number of the oldest request that devices have not answered, by device."""
        found: dict[str, int] = {}
        for some in batched(device_ids, MANY):
            query = (
                select(_C.device, func.min(_C.id))
                .where(_C.device.in_(some), _C.ended_at.is_(None))
                .group_by(_C.device)
            )
            found |= {str(row[0]): int(row[1]) for row in self._connection.execute(query)}
        return found

    def forget_before(self, at: datetime) -> tuple[str, ...]:
        """Delete what was asked for before a time; returns the devices that had not answered."""
        old = _C.asked_at < at
        silent = select(_C.device).where(old, _C.ended_at.is_(None)).distinct()
        devices = tuple(self._connection.execute(silent).scalars())
        self._connection.execute(delete(diagnoses).where(old))
        return devices
