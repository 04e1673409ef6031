"""Arms of an experiment, and what their comparison says."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from edgekit.errors import UsageError
from fleet_server.domain.evidence import DeviceEvidence, Role, Stratum, Summary
from fleet_server.domain.experiment import (
    Arm,
    Experiment,
    ExperimentPhase,
    check_experiment,
    read_out,
)
from fleet_server.domain.goal import DeviceHistory, Goal, ReleaseState, find_goal

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
AB = Experiment(
    id="digits-ab-1",
    model="digits",
    arms=(Arm(version="1.0.0", share=30), Arm(version="1.1.0", share=20)),
    hold_s=3600,
    created_at=NOW,
)
LISTED = dict.fromkeys(("1.0.0", "1.1.0"), ReleaseState.LISTED)


def test_arms_take_their_shares_and_a_device_stays_in_its_arm() -> None:
    names = [f"cam-{i}" for i in range(4000)]
    drawn = [AB.arm_of(name) for name in names]
    shares = [sum(arm == one for arm in drawn) / len(names) for one in (*AB.arms, None)]
    assert shares == pytest.approx([0.3, 0.2, 0.5], abs=0.03)
    assert [AB.arm_of(name) for name in names] == drawn
    other = replace(AB, id="digits-ab-2")
    assert [other.arm_of(name) for name in names] != drawn


@pytest.mark.parametrize(
    ("arms", "names"),
    [
        ([Arm(version="1", share=50)], "two arms"),
        ([Arm(version="1", share=50), Arm(version="1", share=50)], "of its own"),
        ([Arm(version="1", share=0), Arm(version="2", share=50)], "above 0"),
        ([Arm(version="1", share=60), Arm(version="2", share=50)], "more than 100"),
    ],
)
def test_arms_that_cannot_be_are_refused(arms, names) -> None:
    with pytest.raises(UsageError, match=names):
        check_experiment(arms, 60.0, "experiment")


def in_arm(version: str) -> str:
    return next(
        name
        for name in (f"cam-{i}" for i in range(1000))
        if (arm := AB.arm_of(name)) and arm.version == version
    )


def test_a_device_gets_its_arm_keeps_it_and_is_free_when_the_experiment_ends() -> None:
    device = DeviceHistory(device_id=in_arm("1.1.0"), running="1.0.0")
    assert find_goal(device, [], LISTED, [AB]) == Goal(version="1.1.0", rollout_id=AB.id)
    assert find_goal(replace(device, running="1.1.0"), [], LISTED, [AB]) == Goal()
    failed = replace(device, failed=frozenset({"1.1.0"}))
    assert find_goal(failed, [], LISTED, [AB]) == Goal()
    ended = replace(AB, phase=ExperimentPhase.STOPPED)
    assert find_goal(device, [], LISTED, [ended]) == Goal()


def test_it_is_ready_when_it_was_held_as_long_as_it_was_meant_to_be() -> None:
    assert not AB.held_long_enough(NOW + timedelta(minutes=59))
    assert AB.held_long_enough(NOW + timedelta(minutes=60))


def devices(ms: float, count: int) -> list[DeviceEvidence]:
    def summary(value: float) -> Summary:
        return Summary(
            windows=10, inferences=100, latencies=100, sum_log_latency=100 * math.log(value)
        )

    return [
        DeviceEvidence(
            device_id=str(i),
            stratum=Stratum(variant="a"),
            role=Role.CANARY,
            before=summary(20.0 + i),
            after=summary(ms / 20.0 * (20.0 + i) * (1 + 0.01 * (i % 3 - 1))),
        )
        for i in range(count)
    ]


def test_the_readout_is_an_effect_with_an_interval_between_devices() -> None:
    found = read_out(AB, {"1.0.0": devices(20.0, 9), "1.1.0": devices(16.0, 6)})
    (latency,) = [e for e in found if e.metric == "latency"]
    assert latency.effect == pytest.approx(-0.2, abs=0.001)
    assert latency.low is not None
    assert latency.high is not None
    assert -0.22 < latency.low < -0.2 < latency.high < -0.18
    assert "6 devices against 9" in latency.sentence
    same = read_out(AB, {"1.0.0": devices(20.0, 9), "1.1.0": devices(20.0, 6)})
    assert "may be none" in same[0].sentence


def test_two_devices_an_arm_are_no_comparison() -> None:
    found = read_out(AB, {"1.0.0": devices(20.0, 9), "1.1.0": devices(16.0, 2)})
    assert found[0].effect is None
    assert "cannot be compared" in found[0].sentence
