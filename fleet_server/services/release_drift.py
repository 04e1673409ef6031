"""A release against what it was proven on: its hours kept, a day of them compared, told in words.

The comparison itself is `edgekit.drift`, the one that a device makes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from edgekit.drift import Drift, moved
from fleet_server.domain.drift import Hour
from fleet_server.domain.release_drift import DAY, ReleaseHour, add_up, release_hour
from fleet_server.services.fleet_plan import FleetPlan
from fleet_server.services.ports.database import Tables
from fleet_server.services.records.drift import (
    DriftRecord,
    ReferenceRecord,
    ReleaseHourRecord,
)
from fleet_server.services.records.events import AlarmRecord

RELEASE_DRIFT = "release_drift"
"""Kind of the alarms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """A bundle whose last day is unlike what it was proven on.

    Attributes:
        model: Name of the model.
        digest: SHA-256 of the bundle.
        day: What all devices met.
        found: Numbers, and the class, that moved; the farthest first.
    """

    model: str
    digest: str
    day: ReleaseHour
    found: tuple[Drift, ...]

    @property
    def told(self) -> str:
        """What moved how far, in words."""
        moves = (
            f"{d.name} stability index {d.psi:.2f} (chance alone up to {d.chance_psi:.2f}),"
            f" Jensen-Shannon distance {d.js:.2f}"
            for d in self.found
        )
        return f"over {self.day.hours} hours of its devices: {'; '.join(moves)}"


def hours_of_releases(
    at: datetime, records: Iterable[DriftRecord], references: Mapping[str, ReferenceRecord]
) -> list[ReleaseHourRecord]:
    """Add one hour of all devices up, by bundle; those without a reference are left out."""
    hours: dict[str, list[Hour]] = defaultdict(list)
    for record in records:
        known = references.get(record.digest)
        if known is not None and known.model == record.model:
            hours[record.digest].append(record.hour)
    return [
        ReleaseHourRecord(digest=digest, hour=_hour(at, of_it, references[digest]))
        for digest, of_it in sorted(hours.items())
    ]


def _hour(at: datetime, hours: Sequence[Hour], known: ReferenceRecord) -> ReleaseHour:
    bins = {name: len(b.counts) for name, b in known.reference.numbers.items()}
    return release_hour(at, hours, bins=bins, classes=known.reference.classes)


def departures(tables: Tables, *, until: datetime) -> list[Departure]:
    """Return the bundles whose day up to a time is unlike what they were proven on."""
    references = tables.release_drift.references()
    days: dict[str, list[ReleaseHour]] = defaultdict(list)
    for record in tables.release_drift.since(until - DAY):
        if record.hour.at < until and record.digest in references:
            days[record.digest].append(record.hour)
    left = []
    for digest, hours in sorted(days.items()):
        day, known = add_up(hours), references[digest]
        every = moved(known.reference, day.numbers, day.classes)
        if found := tuple(one for one in every if one.drifted):
            left.append(Departure(model=known.model, digest=digest, day=day, found=found))
    return left


def alarm_of(departure: Departure, plan: FleetPlan) -> AlarmRecord:
    """Return the alarm of a bundle that meets something else than it was proven on."""
    version = plan.version_of(departure.digest) or ""
    return AlarmRecord(
        device="",
        digest=departure.digest,
        kind=RELEASE_DRIFT,
        model=departure.model,
        version=version,
        raised_at=departure.day.at,
        text=f"{departure.model} {version} meets what it was not proven on, {departure.told}",
        body={
            "hours": departure.day.hours,
            "moved": {d.name: {"psi": d.psi, "js": d.js} for d in departure.found},
        },
    )
