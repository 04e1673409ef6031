"""What a release meets on all its devices: hours with one voice each, added up to a day. Pure.

A device's hour counts once, however many inferences it had: minutes of one camera are alike, so
that inferences would pretend a certainty that is not there, and a device that floods the server is
not heard louder than its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from edgekit.telemetry import OTHER_CLASS
from fleet_server.domain.drift import MIN_SAMPLES, Hour

DAY = timedelta(hours=24)
Shares = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseHour:
    """What all devices met with one bundle in an hour, or in several.

    Attributes:
        at: Beginning of the hour, or of the latest, UTC.
        hours: Hours of one device each that had anything to say.
        numbers: Sum of their shares in the bins of the bundle's reference, by name.
        classes: Sum of their shares by class.
    """

    at: datetime
    hours: int = 0
    numbers: Mapping[str, Shares] = field(default_factory=dict)
    classes: Mapping[str, float] = field(default_factory=dict)


def release_hour(
    at: datetime, hours: Iterable[Hour], *, bins: Mapping[str, int], classes: Iterable[str]
) -> ReleaseHour:
    """Add up the hours of all devices with one bundle.

    Args:
        at: Beginning of the hour.
        hours: One of each device.
        bins: How many bins each number has; what does not match is not counted.
        classes: Classes that are told apart; others are one.
    """
    known = frozenset(classes)
    spoken = [_voice(hour, bins, known) for hour in hours]
    spoken = [hour for hour in spoken if hour.numbers or hour.classes]
    return add_up([ReleaseHour(at=at), *spoken])


def add_up(hours: Sequence[ReleaseHour]) -> ReleaseHour:
    """Add hours of the same bundle up; at least one."""
    numbers: dict[str, Shares] = {}
    classes: dict[str, float] = {}
    for hour in hours:
        for name, shares in hour.numbers.items():
            have = numbers.get(name, (0.0,) * len(shares))
            numbers[name] = tuple(a + b for a, b in zip(have, shares, strict=True))
        for label, share in hour.classes.items():
            classes[label] = classes.get(label, 0.0) + share
    return ReleaseHour(
        at=max(hour.at for hour in hours),
        hours=sum(hour.hours for hour in hours),
        numbers=numbers,
        classes=classes,
    )


def _voice(hour: Hour, bins: Mapping[str, int], classes: frozenset[str]) -> ReleaseHour:
    numbers = {
        name: tuple(count / sum(counts) for count in counts)
        for name, counts in hour.counts.items()
        if len(counts) == bins.get(name) and sum(counts) >= MIN_SAMPLES
    }
    answers = sum(hour.classes.values())
    said: dict[str, float] = {}
    for label, count in hour.classes.items() if answers >= MIN_SAMPLES and classes else ():
        known = label if label in classes else OTHER_CLASS
        said[known] = said.get(known, 0.0) + count / answers
    return ReleaseHour(at=hour.at, hours=1, numbers=numbers, classes=said)
