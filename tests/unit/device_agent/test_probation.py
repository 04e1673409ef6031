"""The judgement of a trial."""

from __future__ import annotations

import pytest

from device_agent.probation import Budget, TrialEvidence, judge
from edgekit.protocol import Reason
from edgekit.verdict import Verdict

BUDGET = Budget(duration_s=60, minimum_inferences=20, memory_mb=100)
GOOD = {"elapsed_s": 60.0, "inferences": 100}


def evidence(**changed: float) -> TrialEvidence:
    return TrialEvidence(**{**GOOD, **changed})  # type: ignore[arg-type]


def test_enough_good_answers_over_the_whole_time_pass() -> None:
    assert judge(evidence(), BUDGET).verdict is Verdict.PASS


def test_good_answers_do_not_pass_before_the_time_is_over() -> None:
    assert judge(evidence(elapsed_s=59.9), BUDGET).verdict is Verdict.PENDING


@pytest.mark.parametrize("inferences", [0, 19])
def test_time_alone_never_passes(inferences: int) -> None:
    assert judge(evidence(inferences=inferences), BUDGET).verdict is Verdict.INCONCLUSIVE


def test_no_inference_is_no_evidence_even_if_none_was_asked_for() -> None:
    budget = Budget(minimum_inferences=0)
    assert judge(evidence(inferences=0), budget).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        pytest.param({"crashes": 1}, Reason.CRASH, id="crash"),
        pytest.param({"hangs": 1}, Reason.CRASH, id="hang"),
        pytest.param({"nan_outputs": 1}, Reason.NAN, id="nan"),
        pytest.param({"rss_mb": 100.1}, Reason.MEMORY, id="memory"),
        pytest.param({"errors": 3}, Reason.ERRORS, id="errors"),
        pytest.param({"late": 6}, Reason.DEADLINE, id="late"),
    ],
)
def test_a_broken_budget_fails_at_any_time(changed: dict[str, float], reason: Reason) -> None:
    judgement = judge(evidence(elapsed_s=1, **changed), BUDGET)
    assert (judgement.verdict, judgement.reason) == (Verdict.FAIL, reason)
    assert judgement.message


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"errors": 2}, id="errors"),
        pytest.param({"late": 5}, id="late"),
        pytest.param({"rss_mb": 100}, id="memory"),
    ],
)
def test_a_budget_that_is_just_kept_passes(changed: dict[str, float]) -> None:
    assert judge(evidence(**changed), BUDGET).verdict is Verdict.PASS


def test_shares_are_not_judged_on_a_handful_of_answers() -> None:
    few = evidence(elapsed_s=1, inferences=3, errors=2, late=3)
    assert judge(few, BUDGET).verdict is Verdict.PENDING


def test_a_memory_budget_of_zero_is_none() -> None:
    assert judge(evidence(rss_mb=1e6), Budget(minimum_inferences=1)).verdict is Verdict.PASS
