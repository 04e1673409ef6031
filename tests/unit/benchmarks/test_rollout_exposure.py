"""The simulated day: what it must show for the comparison to mean anything."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.rollout_exposure import MINUTES, RELEASES, RULES, OurRule, simulate
from benchmarks.simulated_fleet import NEVER, Release, SimulatedFleet
from fleet_server.domain.rollout import Phase

SIZE = 1500
BAD = [release for release in RELEASES if release.name != "good"]


def fleet_of(release: Release) -> SimulatedFleet:
    return SimulatedFleet(SIZE, release, np.random.default_rng(5))


@pytest.mark.parametrize("release", BAD, ids=lambda release: release.name)
def test_our_rule_stops_what_all_at_once_gives_to_everybody(release):
    ours, everybody = fleet_of(release), fleet_of(release)
    rule = OurRule(ours)
    recovered = simulate(ours, rule)
    simulate(everybody, RULES["all at once"](everybody))
    assert everybody.exposed() == SIZE
    assert ours.exposed() <= SIZE // 5
    assert rule.phase is Phase.ROLLED_BACK
    assert recovered is not None


def test_a_good_release_reaches_everybody_under_every_rule():
    for make in RULES.values():
        fleet = fleet_of(Release(name="good"))
        simulate(fleet, make(fleet))
        assert fleet.exposed() == SIZE
        assert fleet.still_on(MINUTES) == SIZE


def test_hawkbits_rule_counts_actions_and_sees_no_telemetry():
    failing, slow = fleet_of(Release(name="f", fails_trial=0.3)), fleet_of(BAD[1])
    for fleet in (failing, slow):
        simulate(fleet, RULES["hawkBit's rule, 5 % errors"](fleet))
    assert failing.exposed() < SIZE // 5
    assert slow.exposed() == SIZE


def test_a_device_that_goes_back_before_it_activated_was_never_exposed():
    fleet = fleet_of(Release(name="good"))
    fleet.offer(np.ones(SIZE, dtype=np.bool_), 0)
    fleet.go_back(np.ones(SIZE, dtype=np.bool_), 1)
    early = fleet.download > 1
    assert early.any()
    assert (fleet.activated[early] == NEVER).all()
    assert fleet.exposed() == SIZE - int(early.sum())
