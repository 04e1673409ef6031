"""Diagnose bundles on request: a person asks, the device's next poll says so, the device answers.

Bundles are kept for a week. A device that has not polled for long is not asked: nobody would come.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from edgekit.client.wire.diagnoses import DiagnosisRequest, DiagnosisState
from edgekit.errors import ConflictError, UsageError
from edgekit.jobs import MAX_DIAGNOSIS_BYTES
from fleet_server.services.errors import GoneError, NotFoundError, TooLargeError
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.records.diagnoses import DiagnosisRecord

logger = logging.getLogger(__name__)

KEPT = timedelta(days=7)
GZIP = b"\x1f\x8b"
_MISSED_POLLS = 10
_MAX_PROBLEM = 500
_MAX_NUMBER = (1 << 63) - 1


class DiagnosisService:
    """Asks devices for their diagnose bundle, and keeps it for a while.

    Args:
        database: Where requests and bundles are.
        poll_interval_s: How often devices are told to come.
    """

    def __init__(self, database: Database, *, poll_interval_s: float) -> None:
        self._database = database
        self._patience = timedelta(seconds=max(60.0, _MISSED_POLLS * poll_interval_s))

    def ask(self, device_id: str, *, by: str, now: datetime) -> DiagnosisRequest:
        """Ask a device; one that was asked already is not asked twice.

        Raises:
            NotFoundError: There is no such device.
            ConflictError: It has not polled for ten intervals.
        """
        with self._database.write() as tables:
            device = tables.devices.get(device_id)
            if device is None:
                raise NotFoundError("there is no such device", where=device_id)
            seen = device.last_seen_at
            if seen is None or now - seen > self._patience:
                since = "never polled" if seen is None else f"not polled since {seen.isoformat()}"
                raise ConflictError(
                    f"is offline: it has {since}", where=device_id, todo="ask when it is back"
                )
            number = tables.diagnoses.waiting([device_id]).get(device_id)
            known = tables.diagnoses.get(number) if number is not None else None
            if known is None:
                fresh = DiagnosisRecord(device_id=device_id, asked_at=now, asked_by=by)
                known = tables.diagnoses.add(fresh)
                tables.changes.record(device_id)
        logger.info("diagnosis asked for", extra={"fields": {"device": device_id, "by": by}})
        return _view(known)

    def view(self, device_id: str, number: int) -> DiagnosisRequest:
        """Return how far a request is.

        Raises:
            NotFoundError: There is none of that number for the device, or no more.
        """
        with self._database.read() as tables:
            return _view(_existing(tables, device_id, number))

    def bundle(self, device_id: str, number: int) -> bytes:
        """Return a bundle, a tar.gz.

        Raises:
            NotFoundError: There is none, not yet or no more.
        """
        with self._database.read() as tables:
            _existing(tables, device_id, number)
            data = tables.diagnoses.bundle(number)
        if not data:
            raise NotFoundError("there is no bundle", where=f"{device_id}, request {number}")
        return data

    def take(self, device_id: str, number: int, data: bytes, *, now: datetime) -> None:
        """Keep the bundle of a device that was asked.

        Raises:
            NotFoundError: It was not asked.
            GoneError: It has answered.
            TooLargeError: It is larger than 4 MiB.
            UsageError: It is no gzip file.
        """
        if len(data) > MAX_DIAGNOSIS_BYTES:
            raise TooLargeError(f"the bundle is larger than {MAX_DIAGNOSIS_BYTES} bytes")
        if not data.startswith(GZIP):
            raise UsageError("is no tar.gz", where="diagnosis")
        self._end(device_id, number, data, "", now=now)

    def refuse(self, device_id: str, number: int, problem: str, *, now: datetime) -> None:
        """Note that a device could make none. Raises as `take` does."""
        self._end(device_id, number, b"", problem[:_MAX_PROBLEM] or "failed", now=now)

    def forget(self, *, now: datetime) -> None:
        """Forget what was asked for more than a week ago."""
        with self._database.write() as tables:
            for device_id in tables.diagnoses.forget_before(now - KEPT):
                tables.changes.record(device_id)

    def _end(
        self, device_id: str, number: int, data: bytes, problem: str, *, now: datetime
    ) -> None:
        with self._database.write() as tables:
            record = _existing(tables, device_id, number)
            if record.ended_at is not None:
                raise GoneError("was answered already", where=f"request {number}")
            tables.diagnoses.end(replace(record, ended_at=now, problem=problem), data)
            tables.changes.record(device_id)
        fields = {"device": device_id, "bytes": len(data), "problem": problem}
        logger.info("diagnosis answered", extra={"fields": fields})


def _existing(tables: Tables, device_id: str, number: int) -> DiagnosisRecord:
    record = tables.diagnoses.get(number) if 0 < number <= _MAX_NUMBER else None
    if record is None or record.device_id != device_id:
        raise NotFoundError("there is no such request", where=f"{device_id}, request {number}")
    return record


def _view(record: DiagnosisRecord) -> DiagnosisRequest:
    state = DiagnosisState.WAITING
    if record.ended_at is not None:
        state = DiagnosisState.FAILED if record.problem else DiagnosisState.HERE
    return DiagnosisRequest(
        id=record.id,
        device=record.device_id,
        asked_at=record.asked_at.isoformat(),
        asked_by=record.asked_by,
        state=state,
        problem=record.problem,
        size=record.size,
    )
