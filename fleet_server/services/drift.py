"""Drift in the field: closes hours, compares them with what was before and with what was proven.

An alarm is raised and cleared like any other, so that webhooks hear of it and may start
a retraining.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from edgekit.client.wire.field import DriftView
from fleet_server.domain.drift import (
    LOOK_BACK,
    MIN_REFERENCES,
    Drifting,
    Hour,
    HourDrift,
    hour_drifts,
    hour_of,
    references_for,
)
from fleet_server.domain.release_drift import DAY
from fleet_server.services.clock import LONG
from fleet_server.services.events import EventService
from fleet_server.services.fleet_plan import PlanCache
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.records.drift import DriftRecord
from fleet_server.services.records.events import AlarmRecord
from fleet_server.services.records.flags import FlagRecord
from fleet_server.services.release_drift import (
    RELEASE_DRIFT,
    Departure,
    alarm_of,
    departures,
    hours_of_releases,
)

GRACE = timedelta(minutes=10)
"""Windows of an hour are waited for so long after its end."""
HOLD_FOR = timedelta(hours=3)
"""A device counts as drifting so long after the beginning of an hour that drifted."""
MAX_HOURS_AT_ONCE = 24
_HOUR = timedelta(hours=1)
_FLAG = "drift_hour"
DRIFT = "drift"
"""Kind of the alarms."""


class DriftService:
    """Closes hours and says what drifted."""

    def __init__(self, database: Database, plans: PlanCache, events: EventService) -> None:
        self._database = database
        self._plans = plans
        self._events = events

    def tick(self, *, now: datetime) -> None:
        """Close every hour that is over and was not closed yet, a day of them at most."""
        latest = hour_of(now - GRACE) - _HOUR
        with self._database.read() as tables:
            flag = tables.flags.get(_FLAG)
        first = datetime.fromisoformat(flag.value) + _HOUR if flag else latest
        first = max(first, latest - (MAX_HOURS_AT_ONCE - 1) * _HOUR)
        if first > latest + LONG:  # closed by a clock that was ahead
            first = latest
        while first <= latest:
            records = self.close(first, now=now)
            first += _HOUR
            if first > latest:
                self._events.watch(DRIFT, self._alarms(records), now=now)
                self._events.watch(RELEASE_DRIFT, self._departed(until=first), now=now)

    def _alarms(self, records: Sequence[DriftRecord]) -> list[AlarmRecord]:
        with self._database.read() as tables:
            plan = self._plans.get(tables)
        return [
            AlarmRecord(
                device=r.device_id,
                digest=r.digest,
                kind=DRIFT,
                model=r.model,
                version=plan.version_of(r.digest) or "",
                raised_at=r.hour.at,
                text=f"{r.device_id} sees something unusual for {r.model}: {r.told}",
                body={"hour": r.hour.at.isoformat(), "statistics": list(r.hour.drifted)},
            )
            for r in records
            if r.told
        ]

    def _departed(self, *, until: datetime) -> list[AlarmRecord]:
        with self._database.read() as tables:
            plan = self._plans.get(tables)
            return [alarm_of(one, plan) for one in departures(tables, until=until)]

    def close(self, at: datetime, *, now: datetime) -> tuple[DriftRecord, ...]:
        """Judge one hour; durable on return. Closing it again changes nothing but late windows."""
        with self._database.read() as tables:
            sums = tables.drift.summed(at, at + _HOUR)
            records = tuple(
                _judged(
                    tables,
                    DriftRecord(
                        device_id=device,
                        model=model,
                        digest=digest,
                        hour=hour,
                    ),
                )
                for (device, model, digest), hour in sorted(sums.items(), key=_first)
            )
            releases = hours_of_releases(at, records, tables.release_drift.references())
        with self._database.write() as tables:
            tables.drift.put(records)
            tables.release_drift.put(releases)
            tables.release_drift.forget_before(at - 2 * DAY)
            tables.drift.forget_before(at - LOOK_BACK - timedelta(days=1))
            tables.flags.put(FlagRecord(name=_FLAG, value=at.isoformat(), by="scheduler", at=now))
        return records

    def alarms(self, model: str, *, now: datetime) -> list[DriftView]:
        """Return what drifted on the last day: releases, then devices, latest first; "" for all."""
        with self._database.read() as tables:
            recent = tables.drift.recent(model, since=now - timedelta(days=1))
            departed = departures(tables, until=hour_of(now))
        return [_departed_view(one) for one in departed if model in {"", one.model}] + [
            DriftView(
                device=r.device_id,
                model=r.model,
                digest=r.digest,
                hour=r.hour.at.isoformat(),
                statistics=r.hour.drifted,
                text=r.told,
            )
            for r in reversed(recent)
            if r.told
        ]


def drifting(tables: Tables, device_ids: Iterable[str], model: str, *, since: datetime) -> Drifting:
    """Return how many of some devices drifted in an hour that began after a time."""
    wanted = set(device_ids)
    recent = [r for r in tables.drift.recent(model, since=since) if r.device_id in wanted]
    bad = [r for r in recent if r.hour.drifted]
    return Drifting(
        watched=len({r.device_id for r in recent if r.watched}),
        drifting=tuple(sorted({r.device_id for r in bad})),
        statistics=tuple(sorted({name for r in bad for name in r.hour.drifted})),
    )


def _judged(tables: Tables, record: DriftRecord) -> DriftRecord:
    hour = record.hour
    past = tables.drift.past(record.device_id, record.digest, since=hour.at - LOOK_BACK)
    found = hour_drifts(hour, past)
    return replace(
        record,
        hour=replace(hour, drifted=tuple(d.statistic for d in found)),
        watched=len(references_for(hour, past)) >= MIN_REFERENCES,
        told=", ".join(_in_words(d) for d in found),
    )


def _departed_view(one: Departure) -> DriftView:
    return DriftView(
        device="",
        model=one.model,
        digest=one.digest,
        hour=one.day.at.isoformat(),
        statistics=tuple(drift.name for drift in one.found),
        text=one.told,
    )


def _first(entry: tuple[tuple[str, str, str], Hour]) -> tuple[str, str, str]:
    return entry[0]


def _in_words(found: HourDrift) -> str:
    return (
        f"{found.statistic} {found.distance:.3f} (usual up to {found.usual:.3f},"
        f" {found.references} hours before)"
    )
