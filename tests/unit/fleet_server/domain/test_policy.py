"""What a rollout file may say."""

import pytest

from edgekit.errors import UsageError
from fleet_server.domain.policy import (
    GateMode,
    GatePolicy,
    OnFail,
    OnInconclusive,
    RolloutPolicy,
    Stage,
    check_policy,
    parse_policy,
)

WHOLE = {"percent": 100}


def test_a_whole_file_becomes_a_policy() -> None:
    policy = parse_policy(
        {
            "stages": [
                {"devices_per_variant": 1, "bake_s": 60, "timeout_s": 600, "min_windows": 3},
                {"percent": 50},
                WHOLE,
            ],
            "gate": {"mode": "must_prove", "max_failed_devices": 2, "latency_budget_ms": 40},
            "on_fail": "pause",
            "on_inconclusive": "hold",
        },
        "rollout.yaml",
    )
    assert policy.stages[0] == Stage(devices_per_variant=1, bake_s=60, timeout_s=600, min_windows=3)
    assert policy.stages[1:] == (Stage(percent=50), Stage(percent=100))
    assert policy.gate == GatePolicy(
        mode=GateMode.MUST_PROVE, max_failed_devices=2, latency_budget_ms=40
    )
    assert policy.on_fail is OnFail.PAUSE
    assert policy.on_inconclusive is OnInconclusive.HOLD


def test_what_is_not_said_has_the_documented_default() -> None:
    policy = parse_policy({"stages": [WHOLE]}, "rollout.yaml")
    assert policy == RolloutPolicy(stages=(Stage(percent=100),))
    assert policy.gate.alpha_per_look == pytest.approx(0.01)
    assert policy.on_fail is OnFail.ROLL_BACK


@pytest.mark.parametrize(
    ("mapping", "named"),
    [
        pytest.param({"stages": [WHOLE], "stagez": 1}, "'stagez'", id="unknown-key"),
        pytest.param({"stages": [{"percnt": 5}, WHOLE]}, "'stages[0].percnt'", id="unknown-stage"),
        pytest.param({"stages": [WHOLE], "gate": {"alfa": 1}}, "'gate.alfa'", id="unknown-gate"),
        pytest.param({}, "stages", id="no-stages"),
        pytest.param({"stages": []}, "stages", id="empty-stages"),
        pytest.param({"stages": "all"}, "stages", id="stages-no-list"),
        pytest.param({"stages": [7]}, "stages[0]", id="stage-no-mapping"),
        pytest.param({"stages": [{"percent": "half"}]}, "stages[0].percent", id="wrong-type"),
        pytest.param({"stages": [WHOLE], "on_fail": "cry"}, "on_fail", id="unknown-word"),
        pytest.param({"stages": [{}, WHOLE]}, "stages[0]", id="stage-without-size"),
        pytest.param(
            {"stages": [{"percent": 5, "devices": 1}, WHOLE]}, "stages[0]", id="two-sizes"
        ),
        pytest.param({"stages": [{"percent": 0}, WHOLE]}, "stages[0].percent", id="zero-percent"),
        pytest.param({"stages": [{"percent": 101}]}, "stages[0].percent", id="over-the-whole"),
        pytest.param(
            {"stages": [{"percent": float("nan")}, WHOLE]}, "stages[0].percent", id="nan-percent"
        ),
        pytest.param({"stages": [{"devices": 1001}, WHOLE]}, "stages[0].devices", id="too-many"),
        pytest.param(
            {"stages": [{"devices_per_variant": 0}, WHOLE]},
            "stages[0].devices_per_variant",
            id="nobody",
        ),
        pytest.param(
            {"stages": [{"percent": 50}, {"percent": 5}, WHOLE]}, "stages[1].percent", id="shrinks"
        ),
        pytest.param(
            {"stages": [{"percent": 5}, {"devices": 5}, WHOLE]}, "stages[1]", id="number-after"
        ),
        pytest.param({"stages": [{"percent": 50}]}, "partial", id="never-reaches-the-whole"),
        pytest.param({"stages": [WHOLE | {"bake_s": -1}]}, "stages[0].bake_s", id="bake"),
        pytest.param(
            {"stages": [WHOLE | {"bake_s": 60, "timeout_s": 60}]},
            "stages[0].timeout_s",
            id="timeout-within-bake",
        ),
        pytest.param(
            {"stages": [WHOLE | {"min_windows": 0}]}, "stages[0].min_windows", id="no-evidence"
        ),
        pytest.param(
            {"stages": [WHOLE | {"min_reporting": 0}]}, "stages[0].min_reporting", id="reporting"
        ),
        pytest.param(
            {"stages": [WHOLE], "gate": {"max_failed_devices": -1}},
            "gate.max_failed_devices",
            id="failed",
        ),
        pytest.param(
            {"stages": [WHOLE], "gate": {"error_rate_budget": 1}},
            "gate.error_rate_budget",
            id="errors",
        ),
        pytest.param(
            {"stages": [WHOLE], "gate": {"latency_budget_ms": 0}},
            "gate.latency_budget_ms",
            id="latency",
        ),
        pytest.param(
            {"stages": [WHOLE], "gate": {"latency_times_before": 1}},
            "gate.latency_times_before",
            id="times-before",
        ),
        pytest.param({"stages": [WHOLE], "gate": {"margin": -0.1}}, "gate.margin", id="margin"),
        pytest.param({"stages": [WHOLE], "gate": {"alpha": 0.5}}, "gate.alpha", id="alpha"),
        pytest.param({"stages": [WHOLE], "gate": {"looks": 0}}, "gate.looks", id="looks"),
    ],
)
def test_a_wrong_policy_names_the_file_and_the_field(
    mapping: dict[str, object], named: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse_policy(mapping, "rollout.yaml")
    assert str(caught.value).startswith("rollout.yaml: ")
    assert named in caught.value.what


def test_a_rollout_that_says_so_may_stop_before_the_whole() -> None:
    check_policy(RolloutPolicy(stages=(Stage(percent=50),), partial=True), "here")


@pytest.mark.parametrize(("min_windows", "first"), [(1, 1), (4, 1), (5, 1), (6, 2), (30, 6)])
def test_the_first_look_needs_a_fifth_of_the_windows(min_windows: int, first: int) -> None:
    assert Stage(percent=100, min_windows=min_windows).first_look_windows == first
