"""Benchmarks on devices: ask, hand out, take answers, keep them; and alarms in the field.

A device is asked for a bundle that fits it, and offered the job at a poll at which nothing else is
to be done. What it measured stays with the release.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from edgekit import codec
from edgekit.bench.report import LatencyReport
from edgekit.client.wire.benchmarks import BenchmarkView, FieldAlarmView, NewBenchmark
from edgekit.errors import FormatError, UsageError
from edgekit.jobs import BenchmarkAnswer, BenchmarkJob
from fleet_server.domain.events import EventKind
from fleet_server.domain.field_alarm import Expected, FieldAlarm, field_alarm
from fleet_server.domain.goal import ReleaseState
from fleet_server.domain.selector import parse_selector
from fleet_server.services.errors import NotFoundError
from fleet_server.services.fleet_plan import PlanCache
from fleet_server.services.ports.database import Database, Tables
from fleet_server.services.records.benchmarks import BenchmarkRecord, BenchmarkState
from fleet_server.services.records.devices import DeviceRecord
from fleet_server.services.records.events import AlarmRecord, EventRecord
from fleet_server.services.records.releases import ReleaseRecord, VariantRecord

logger = logging.getLogger(__name__)
MAX_PAGE = 1000
MAX_DEVICES = 1000
MAX_SECS = 3600.0
DETAIL_CHARS = 500
ALARM_WINDOW = timedelta(hours=1)
ALARM_MARGIN = 0.25
LATENCY = "latency"
"""Kind of the alarms that are raised here."""
_P90 = 0.9


class BenchmarkService:
    """Asks devices to measure, and remembers what they say."""

    def __init__(self, database: Database, plans: PlanCache) -> None:
        self._database = database
        self._plans = plans

    def ask(self, wanted: NewBenchmark, *, now: datetime) -> list[BenchmarkView]:
        """Make a job for every device that is meant and that the bundle fits; durable on return.

        Raises:
            NotFoundError: No release has such a bundle, or there is no such device.
            UsageError: Nobody is meant, or the bundle fits no device that is.
        """
        _check(wanted)
        with self._database.write() as tables:
            known = self._plans.get(tables).by_digest.get(wanted.digest)
            if known is None:
                raise NotFoundError(
                    "no release has this bundle",
                    where=wanted.digest[:12],
                    todo="publish it first: devices run only what people signed",
                )
            release, variant = known
            devices = _meant(tables, wanted)
            fitting = [d for d in devices if self._fits(tables, release, variant, d)]
            if not fitting:
                raise UsageError(f"the bundle fits none of {len(devices)} devices that are meant")
            made = [
                tables.benchmarks.add(_record(device, release, variant, wanted, now=now))
                for device in fitting
            ]
            for device in fitting:
                tables.changes.record(device.id)
        return [_view(record) for record in made]

    def job(self, device_id: str, number: int) -> BenchmarkJob:
        """Return what a device shall measure.

        Raises:
            NotFoundError: There is no such waiting job of this device.
        """
        with self._database.read() as tables:
            return _waiting(tables, device_id, number).job

    def bundle(self, device_id: str, number: int) -> VariantRecord:
        """Return the published bundle that a device needs for a job of its own.

        Raises:
            NotFoundError: There is no such waiting job of this device, or the release is gone.
        """
        with self._database.read() as tables:
            job = _waiting(tables, device_id, number).job
            known = self._plans.get(tables).by_digest.get(job.digest)
        if known is None or known[0].state is not ReleaseState.LISTED:
            raise NotFoundError("no listed release has this bundle", where=job.digest[:12])
        return known[1]

    def answer(
        self, device_id: str, number: int, answer: BenchmarkAnswer, *, now: datetime
    ) -> None:
        """Keep what a device says; durable on return.

        Raises:
            NotFoundError: There is no such waiting job of this device.
            FormatError: The report is none, or of another bundle.
        """
        report = _report(answer)
        with self._database.write() as tables:
            record = _waiting(tables, device_id, number)
            if report is not None and report.digest != record.job.digest:
                raise FormatError("the report is of another bundle", where=f"benchmark {number}")
            ended = replace(
                record,
                state=BenchmarkState.REFUSED if report is None else BenchmarkState.DONE,
                ended_at=now,
                reason=answer.refused.value if answer.refused else "",
                detail=answer.detail[:DETAIL_CHARS],
                report=report,
            )
            tables.benchmarks.put(ended)
            tables.changes.record(device_id)
            tables.events.tell(_answered(ended, now=now))
        fields = {"job": number, "device": device_id, "state": ended.state, "reason": ended.reason}
        logger.info("benchmark answered", extra={"fields": fields})

    def page(self, *, digest: str = "") -> list[BenchmarkView]:
        """Return jobs, newest first."""
        with self._database.read() as tables:
            found = tables.benchmarks.page(digest=digest, state=None, limit=MAX_PAGE)
        return [_view(record) for record in found]

    def view(self, number: int) -> BenchmarkView:
        """Return one job.

        Raises:
            NotFoundError: There is none of that number.
        """
        with self._database.read() as tables:
            record = tables.benchmarks.get(number)
        if record is None:
            raise NotFoundError("there is no such benchmark", where=str(number))
        return _view(record)

    def alarms(self, *, now: datetime) -> list[FieldAlarmView]:
        """Return every device whose last hour left the interval of its latest benchmark."""
        with self._database.read() as tables:
            done = tables.benchmarks.page(digest="", state=BenchmarkState.DONE, limit=MAX_PAGE)
            latest: dict[tuple[str, str], BenchmarkRecord] = {}
            for record in done:
                latest.setdefault((record.device_id, record.job.digest), record)
            found = [(r, _alarm(tables, r, now=now)) for r in latest.values()]
        return [_alarm_view(record, alarm) for record, alarm in found if alarm is not None]

    def field_alarms(self, *, now: datetime) -> list[AlarmRecord]:
        """Return the same as alarms that can be kept."""
        return [_field_alarm(view, now=now) for view in self.alarms(now=now)]

    def _fits(
        self, tables: Tables, release: ReleaseRecord, variant: VariantRecord, device: DeviceRecord
    ) -> bool:
        picked = self._plans.get(tables).pick(release.model, release.version, device)
        runs = device.running.get(release.model) == variant.digest
        return runs or (picked is not None and picked.digest == variant.digest)


def _check(wanted: NewBenchmark) -> None:
    if bool(wanted.device) == bool(wanted.selector):
        raise UsageError("a benchmark needs a device or a selector, not both")
    if not (0 < wanted.min_secs <= MAX_SECS and wanted.num_runs >= 1 and wanted.threads >= 1):
        raise UsageError(
            f"a benchmark takes 0 to {MAX_SECS:g} seconds, at least one query and one thread"
        )


def _meant(tables: Tables, wanted: NewBenchmark) -> list[DeviceRecord]:
    if wanted.device:
        device = tables.devices.get(wanted.device)
        if device is None:
            raise NotFoundError("there is no such device", where=wanted.device)
        return [device]
    selector = parse_selector(wanted.selector)
    return list(tables.devices.page(selector=selector, after="", limit=MAX_DEVICES))


def _record(
    device: DeviceRecord,
    release: ReleaseRecord,
    variant: VariantRecord,
    wanted: NewBenchmark,
    *,
    now: datetime,
) -> BenchmarkRecord:
    return BenchmarkRecord(
        device_id=device.id,
        model=release.model,
        version=release.version,
        variant=variant.variant,
        asked_at=now,
        job=BenchmarkJob(
            id=0,
            model=release.model,
            digest=variant.digest,
            threads=wanted.threads,
            num_runs=wanted.num_runs,
            min_secs=wanted.min_secs,
            version=release.version,
            variant=variant.variant,
            target=variant.target,
        ),
    )


def _waiting(tables: Tables, device_id: str, number: int) -> BenchmarkRecord:
    record = tables.benchmarks.get(number)
    if (
        record is None
        or record.device_id != device_id
        or record.state is not BenchmarkState.WAITING
    ):
        raise NotFoundError("there is no such waiting benchmark", where=str(number))
    return record


def _report(answer: BenchmarkAnswer) -> LatencyReport | None:
    if answer.report is None:
        if answer.refused is None:
            raise FormatError("holds neither a report nor a refusal", where="benchmark")
        return None
    report = codec.convert(answer.report, LatencyReport, where="benchmark")
    return replace(report, samples=None)


def _answered(record: BenchmarkRecord, *, now: datetime) -> EventRecord:
    did = "did not measure" if record.report is None else "measured"
    why = f" ({record.reason})" if record.reason else ""
    return EventRecord(
        at=now,
        kind=EventKind.BENCHMARK_ANSWERED.value,
        text=f"{record.device_id} {did} {record.model} {record.version}{why}.",
        device=record.device_id,
        model=record.model,
        version=record.version,
        body={"benchmark": record.id, "state": record.state.value},
    )


def _view(record: BenchmarkRecord) -> BenchmarkView:
    return BenchmarkView(
        id=record.id,
        device=record.device_id,
        model=record.model,
        version=record.version,
        variant=record.variant,
        digest=record.job.digest,
        state=record.state.value,
        asked_at=record.asked_at.isoformat(),
        ended_at=record.ended_at.isoformat() if record.ended_at else None,
        reason=record.reason,
        detail=record.detail,
        report=codec.plain(record.report) if record.report else None,
        warnings=record.report.warnings if record.report else (),
    )


def _alarm(tables: Tables, record: BenchmarkRecord, *, now: datetime) -> FieldAlarm | None:
    expected = _expected(record.report)
    if expected is None:
        return None
    seen = tables.telemetry.latencies(
        record.device_id, record.model, record.job.digest, since=now - ALARM_WINDOW
    )
    p90_ms = seen.quantile(_P90)
    return field_alarm(expected, p90_ms=p90_ms, inferences=seen.count, margin=ALARM_MARGIN)


def _expected(report: LatencyReport | None) -> Expected | None:
    """Return the p90 of the whole query, which is what telemetry times."""
    step = (report.step("total") or report.step("inference")) if report else None
    for found in step.percentiles if step else ():
        if found.percentile == _P90 and found.interval is not None:
            return Expected(low=found.interval.low, high=found.interval.high)
    return None


def _alarm_view(record: BenchmarkRecord, alarm: FieldAlarm) -> FieldAlarmView:
    return FieldAlarmView(
        device=record.device_id,
        model=record.model,
        version=record.version,
        variant=record.variant,
        digest=record.job.digest,
        benchmark=record.id,
        p90_ms=alarm.p90_ms,
        low_ms=alarm.low_ms,
        high_ms=alarm.high_ms,
    )


def _field_alarm(view: FieldAlarmView, *, now: datetime) -> AlarmRecord:
    text = (
        f"{view.model} {view.version} on {view.device}: the last hour's 90th percentile is"
        f" {view.p90_ms:.4g} ms; its benchmark says {view.low_ms:.4g} to {view.high_ms:.4g} ms."
    )
    return AlarmRecord(
        device=view.device,
        digest=view.digest,
        kind=LATENCY,
        model=view.model,
        version=view.version,
        raised_at=now,
        text=text,
        body={
            "benchmark": view.benchmark,
            "p90_ms": view.p90_ms,
            "low_ms": view.low_ms,
            "high_ms": view.high_ms,
        },
    )
