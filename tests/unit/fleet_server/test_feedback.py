"""What a feedback means."""

from __future__ import annotations

import pytest

from edgekit.protocol import (
    EdgeKitStatus,
    Execution,
    Feedback,
    Finished,
    Outcome,
    Result,
    Status,
)
from fleet_server.domain.deployment import DeploymentEvent as E
from fleet_server.services.feedback import event_of


def said(
    execution: Execution,
    finished: Finished = Finished.NONE,
    edgekit: EdgeKitStatus | None = None,
) -> Feedback:
    return Feedback(
        status=Status(execution=execution, result=Result(finished=finished), edgekit=edgekit)
    )


@pytest.mark.parametrize("finished", Finished)
@pytest.mark.parametrize(
    ("outcome", "event"),
    [
        (Outcome.COMMITTED, E.COMMIT),
        (Outcome.UNEXERCISED, E.COMMIT_UNEXERCISED),
        (Outcome.REJECTED, E.REJECT),
        (Outcome.REVERTED, E.REVERT),
        (Outcome.FAILED, E.FAIL),
    ],
)
def test_an_outcome_counts_whatever_the_rest_says(
    outcome: Outcome, event: E, finished: Finished
) -> None:
    feedback = said(Execution.CLOSED, finished, EdgeKitStatus(outcome=outcome))
    assert event_of(feedback) is event


@pytest.mark.parametrize("finished", [Finished.SUCCESS, Finished.NONE])
def test_a_foreign_success_is_reported_and_never_confirmed(finished: Finished) -> None:
    assert event_of(said(Execution.CLOSED, finished)) is E.REPORT_SUCCESS


def test_a_foreign_failure_is_a_failure() -> None:
    assert event_of(said(Execution.CLOSED, Finished.FAILURE)) is E.FAIL


@pytest.mark.parametrize("state", ["probation", "PROBATION"])
def test_probation_is_activation(state: str) -> None:
    assert event_of(said(Execution.PROCEEDING, edgekit=EdgeKitStatus(state=state))) is E.ACTIVATE


@pytest.mark.parametrize("execution", [Execution.REJECTED, Execution.CANCELED])
def test_what_leaves_an_action_open_is_no_event(execution: Execution) -> None:
    assert event_of(said(execution)) is None
