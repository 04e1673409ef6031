"""What may happen to one device within one rollout."""

from datetime import UTC, datetime, timedelta

import pytest

from edgekit.errors import ConflictError
from fleet_server.domain.deployment import (
    ENDED_STATES,
    FAILED_STATES,
    Deployment,
    DeploymentEvent,
    DeploymentState,
    advance,
    apply,
)
from fleet_server.domain.errors import IllegalTransitionError

S, E = DeploymentState, DeploymentEvent
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

OFFER = Deployment(
    id=7,
    device_id="cam-1",
    rollout_id="r1",
    model="digits",
    version="1.1.0",
    variant="onnx-int8",
    offered_at=NOW,
    changed_at=NOW,
)


@pytest.mark.parametrize(
    ("events", "end"),
    [
        pytest.param([E.DOWNLOAD, E.ACTIVATE, E.COMMIT], S.COMMITTED, id="the-good-way"),
        pytest.param([E.COMMIT], S.COMMITTED, id="the-reports-between-were-lost"),
        pytest.param([E.DOWNLOAD, E.REJECT], S.REJECTED, id="golden-samples-differ"),
        pytest.param([E.DOWNLOAD, E.FAIL], S.FAILED, id="no-room"),
        pytest.param([E.ACTIVATE, E.REVERT], S.REVERTED, id="failed-probation"),
        pytest.param([E.ACTIVATE, E.COMMIT_UNEXERCISED], S.UNEXERCISED, id="no-traffic"),
        pytest.param([E.DOWNLOAD, E.REPORT_SUCCESS], S.REPORTED, id="foreign-client"),
        pytest.param([E.COMMIT, E.COMMIT], S.COMMITTED, id="reported-twice"),
        pytest.param([E.ACTIVATE, E.DOWNLOAD], S.ACTIVATED, id="overtaken-report"),
        pytest.param([E.WITHDRAW, E.COMMIT], S.COMMITTED, id="faster-than-the-withdrawal"),
        pytest.param([E.WITHDRAW, E.DOWNLOAD], S.WITHDRAWN, id="has-not-heard-of-it"),
    ],
)
def test_reports_lead_to(events: list[DeploymentEvent], end: DeploymentState) -> None:
    state = S.OFFERED
    for event in events:
        state = advance(state, event, where="x")
    assert state is end


@pytest.mark.parametrize(
    ("state", "event"),
    [
        pytest.param(S.COMMITTED, E.REVERT, id="committed-is-final"),
        pytest.param(S.REVERTED, E.COMMIT, id="a-failure-never-becomes-a-success"),
        pytest.param(S.REJECTED, E.ACTIVATE, id="refused-is-refused"),
        pytest.param(S.ACTIVATED, E.REJECT, id="rejecting-is-before-the-switch"),
        pytest.param(S.ACTIVATED, E.WITHDRAW, id="what-runs-is-no-offer"),
        pytest.param(S.COMMITTED, E.WITHDRAW, id="nor-what-is-committed"),
        pytest.param(S.UNEXERCISED, E.COMMIT, id="no-evidence-stays-no-evidence"),
    ],
)
def test_what_the_table_does_not_have_is_refused(
    state: DeploymentState, event: DeploymentEvent
) -> None:
    with pytest.raises(IllegalTransitionError) as caught:
        advance(state, event, where="deployment 7")
    assert isinstance(caught.value, ConflictError)
    assert (caught.value.state, caught.value.event) == (state, event)
    assert "deployment 7" in str(caught.value)


def test_ended_states_accept_only_their_own_report_again() -> None:
    for state in ENDED_STATES - {S.WITHDRAWN}:
        accepted = []
        for event in E:
            try:
                accepted.append(advance(state, event, where="x"))
            except IllegalTransitionError:
                continue
        assert accepted == [state]


def test_every_failure_is_an_end() -> None:
    assert FAILED_STATES < ENDED_STATES
    assert S.COMMITTED not in FAILED_STATES


def test_a_change_keeps_time_and_reason() -> None:
    later = NOW + timedelta(seconds=5)
    rejected = apply(OFFER, E.REJECT, now=later, reason="golden sample 3 differs")
    assert rejected.state is S.REJECTED
    assert rejected.changed_at == later
    assert rejected.reason == "golden sample 3 differs"


def test_the_same_report_again_changes_nothing() -> None:
    committed = apply(OFFER, E.COMMIT, now=NOW)
    assert apply(committed, E.COMMIT, now=NOW + timedelta(hours=1)) is committed
