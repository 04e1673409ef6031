"""Drift by empirical thresholds: an hour of a device against the same hours before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from edgekit.verdict import Verdict
from fleet_server.domain.drift import (
    MIN_REFERENCES,
    Drifting,
    Hour,
    add_counts,
    hour_drifts,
    hour_of,
    references_for,
)
from fleet_server.domain.evidence import Evidence
from fleet_server.domain.field_checks import field_checks
from fleet_server.domain.policy import GatePolicy, OnDrift, RolloutPolicy, Stage
from fleet_server.domain.rollout import Phase, new_rollout, step
from fleet_server.domain.steering import resume

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def scene(rng: np.random.Generator, shift: float = 0.0) -> dict[str, tuple[int, ...]]:
    """Simulated: an hour of a few scenes, whose brightness hangs together within each."""
    scenes = rng.normal(0.5 + shift, 0.12, 12)
    values = np.clip(rng.normal(np.repeat(scenes, 50), 0.03), 0, 0.999)
    return {
        "brightness": tuple(int(n) for n in np.bincount((values * 10).astype(int), minlength=10))
    }


def days(rng: np.random.Generator, count: int = 30) -> list[Hour]:
    return [Hour(at=NOON - timedelta(days=d), counts=scene(rng)) for d in range(1, count + 1)]


def test_usual_hours_rarely_drift_although_folklore_would_fire() -> None:
    rng = np.random.default_rng(20261121)
    alarms = psi = 0
    for _ in range(60):
        past, now = days(rng), Hour(at=NOON, counts=scene(rng))
        alarms += bool(hour_drifts(now, past))
        p = np.array(now.counts["brightness"]) + 0.5
        q = np.sum([h.counts["brightness"] for h in past], axis=0) + 0.5
        p, q = p / p.sum(), q / q.sum()
        psi += float(((p - q) * np.log(p / q)).sum()) > 0.25
    assert alarms <= 3
    assert psi >= 20


def test_an_hour_unlike_all_before_drifts_and_says_how_far() -> None:
    rng = np.random.default_rng(1)
    (found,) = hour_drifts(Hour(at=NOON, counts=scene(rng, shift=0.4)), days(rng))
    assert found.statistic == "brightness"
    assert found.distance > found.usual
    assert found.references == 30


def test_too_few_hours_or_inferences_are_no_drift() -> None:
    rng = np.random.default_rng(2)
    odd = Hour(at=NOON, counts=scene(rng, shift=0.4))
    assert hour_drifts(odd, days(rng, MIN_REFERENCES - 1)) == ()
    few = Hour(at=NOON, counts={"brightness": (0,) * 9 + (49,)})
    assert hour_drifts(few, days(rng)) == ()


def test_only_undrifted_hours_at_about_the_same_time_of_the_day_are_references() -> None:
    now = Hour(at=NOON.replace(hour=23), counts={})
    near = Hour(at=now.at - timedelta(hours=23), counts={})  # at midnight the same day
    night = replace(near, at=now.at - timedelta(hours=14))
    bad = replace(near, at=now.at - timedelta(days=1), drifted=("brightness",))
    later = replace(near, at=now.at + timedelta(days=1))
    assert references_for(now, [near, night, bad, later]) == [near]


def test_counts_add_up_and_new_bins_begin_anew() -> None:
    assert add_counts({"a": (1, 2)}, {"a": (3, 4), "b": (1,)}) == {"a": (4, 6), "b": (1,)}
    assert add_counts({"a": (1, 2)}, {"a": (1, 2, 3)}) == {"a": (1, 2, 3)}
    assert hour_of(NOON + timedelta(minutes=59)) == NOON


def verdicts(gate: GatePolicy, evidence: Evidence) -> list[Verdict]:
    return [check.verdict for check in field_checks(gate, evidence)]


def test_drift_holds_where_that_is_asked_for_and_never_fails() -> None:
    drifting = Evidence(drift=Drifting(watched=10, drifting=("a", "b"), statistics=("confidence",)))
    assert verdicts(GatePolicy(), drifting) == [Verdict.PASS]
    hold = GatePolicy(on_drift=OnDrift.HOLD)
    assert verdicts(hold, drifting) == [Verdict.INCONCLUSIVE]
    assert verdicts(replace(hold, drift_share=0.3), drifting) == [Verdict.PASS]
    assert verdicts(hold, Evidence()) == []


@pytest.mark.parametrize(
    ("right", "labelled", "verdict"),
    [(95, 100, Verdict.PASS), (60, 100, Verdict.FAIL), (1, 20, Verdict.PASS)],
    ids=["good", "bad", "too few labels"],
)
def test_accuracy_in_the_field_fails_below_what_is_asked_for(right, labelled, verdict) -> None:
    evidence = Evidence(labelled={"onnx-fp32": (right, labelled)})
    assert verdicts(GatePolicy(min_accuracy=0.9), evidence) == [verdict]
    assert verdicts(GatePolicy(), evidence) == []


def test_a_rollout_that_drift_holds_goes_on_when_a_person_says_so() -> None:
    gate = GatePolicy(on_drift=OnDrift.HOLD)
    policy = RolloutPolicy(stages=(Stage(percent=100),), gate=gate)
    rollout = new_rollout(rollout_id="r", model="m", version="2", policy=policy, now=NOON)
    rollout = replace(rollout, phase=Phase.RUNNING, stage_started_at=NOON)
    drifting = Evidence(drift=Drifting(watched=5, drifting=("a",), statistics=("confidence",)))
    held, told = step(rollout, drifting, NOON)
    assert held.phase is Phase.HELD
    assert "the world changed, not the release" in str(told)
    assert step(held, drifting, NOON) == (held, ())
    resumed, _ = resume(held, by="ana", now=NOON)
    assert step(resumed, Evidence(), NOON)[0].phase is Phase.RUNNING
