"""A release against what it was proven on: hours have one voice each."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from edgekit.drift import Drift, DriftReference, Features, count, moved, reference_of
from fleet_server.domain.drift import Hour
from fleet_server.domain.release_drift import ReleaseHour, add_up, release_hour

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def proven(rng: np.random.Generator, label: str = "cat") -> DriftReference:
    """Return the reference of 500 samples."""
    values = rng.normal(0.5, 0.12, 500)
    return reference_of([Features(numbers={"mean": float(v)}, label=label) for v in values])


def simulated_hour(
    rng: np.random.Generator, reference: DriftReference, shift: float = 0.0, label: str = "cat"
) -> Hour:
    """Simulated: an hour of twelve scenes, alike within each, in the bins of the reference."""
    scenes = rng.normal(0.5 + shift, 0.12, 12)
    values = rng.normal(np.repeat(scenes, 50), 0.01)
    seen = [Features(numbers={"mean": float(v)}, label=label) for v in values]
    counts = count(reference, seen)
    return Hour(at=NOON, counts=counts.numbers, classes=counts.classes)


def day(reference: DriftReference, hours: list[Hour]) -> ReleaseHour:
    bins = {name: len(b.counts) for name, b in reference.numbers.items()}
    return release_hour(NOON, hours, bins=bins, classes=reference.classes)


def left(reference: DriftReference, hours: list[Hour]) -> list[Drift]:
    met = day(reference, hours)
    return [drift for drift in moved(reference, met.numbers, met.classes) if drift.drifted]


@pytest.mark.parametrize("devices", [2, 10])
def test_days_like_the_proof_are_no_alarm(devices: int) -> None:
    rng = np.random.default_rng(20261122)
    alarms = 0
    for _ in range(40):
        reference = proven(rng)
        hours = [simulated_hour(rng, reference) for _ in range(24 * devices)]
        alarms += bool(left(reference, hours))
    assert alarms <= 1


def test_another_world_is_told_with_how_far_it_is() -> None:
    rng = np.random.default_rng(1)
    reference = proven(rng)
    (found,) = left(reference, [simulated_hour(rng, reference, shift=0.3) for _ in range(48)])
    assert (found.name, found.samples) == ("mean", 48)
    assert found.psi > 1 > found.js > 0.3


def test_other_answers_are_found_where_inputs_are_alike() -> None:
    rng = np.random.default_rng(2)
    reference = proven(rng)
    (found,) = left(reference, [simulated_hour(rng, reference, label="dog") for _ in range(48)])
    assert found.name == "class"


def test_a_device_that_floods_has_one_voice() -> None:
    rng = np.random.default_rng(3)
    reference = proven(rng)
    hours = [simulated_hour(rng, reference) for _ in range(47)]
    loud = simulated_hour(rng, reference, shift=0.4)
    counts = {name: tuple(1_000_000 * n for n in c) for name, c in loud.counts.items()}
    assert left(reference, [*hours, replace(loud, counts=counts)]) == []
    assert sum(day(reference, [loud]).numbers["mean"]) == pytest.approx(1)


def test_little_or_strange_counts_have_no_voice() -> None:
    reference = proven(np.random.default_rng(4))
    bins = len(reference.numbers["mean"].counts)
    strange = [
        Hour(at=NOON, counts={"mean": (1,) * bins}),
        Hour(at=NOON, counts={"mean": (100,) * (bins + 1), "unknown": (100, 100)}),
        Hour(at=NOON, counts={}, classes={"cat": 3}),
    ]
    assert day(reference, strange) == ReleaseHour(at=NOON)


def test_hours_add_up_to_a_day() -> None:
    one = ReleaseHour(at=NOON, hours=2, numbers={"x": (0.5, 1.5)}, classes={"cat": 2.0})
    other = ReleaseHour(at=NOON + timedelta(hours=1), hours=1, numbers={"x": (1.0, 0.0)})
    assert add_up([one, other]) == ReleaseHour(
        at=other.at, hours=3, numbers={"x": (1.5, 1.5)}, classes={"cat": 2.0}
    )
