"""The table of an update."""

from __future__ import annotations

from collections import deque

import pytest

from device_agent.states import (
    AT_REST,
    RESUME,
    RESUME_AFTER_BOOT,
    SETTLED,
    TRANSITIONS,
    Event,
    State,
    UnknownTransitionError,
    advance,
    resume,
)
from device_agent.steps import STEPS


def reachable(start: State, *, without: tuple[State, ...] = ()) -> set[State]:
    seen, todo = {start}, deque([start])
    while todo:
        now = todo.popleft()
        for (state, _), after in TRANSITIONS.items():
            if state is now and after not in without and after not in seen:
                seen.add(after)
                todo.append(after)
    return seen


def test_a_pair_that_is_not_in_the_table_raises() -> None:
    with pytest.raises(UnknownTransitionError):
        advance(State.IDLE, Event.OK)


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_a_step_and_two_ways_to_go_on_after_a_restart(state: State) -> None:
    assert state in STEPS
    assert state in RESUME
    assert state in RESUME_AFTER_BOOT


@pytest.mark.parametrize("state", list(State))
def test_every_state_reaches_idle(state: State) -> None:
    assert State.IDLE in reachable(state)


def test_downloaded_bytes_are_staged_only_after_verifying() -> None:
    of_one_deployment = reachable(State.AUTHORIZING, without=(State.VERIFYING, State.POLLING))
    assert State.STAGING not in of_one_deployment


def test_nothing_answers_that_was_not_self_tested() -> None:
    assert State.ACTIVATING not in reachable(State.IDLE, without=(State.SELF_TEST,))


def test_a_failure_before_activation_needs_no_rollback() -> None:
    for state in (
        State.AUTHORIZING,
        State.DOWNLOADING,
        State.VERIFYING,
        State.STAGING,
        State.SELF_TEST,
        State.SHADOW,
    ):
        assert advance(state, Event.FAILED) is State.REPORTING


@pytest.mark.parametrize("state", [State.ACTIVATING, State.PROBATION, State.COMMITTING])
def test_a_failure_from_activation_on_rolls_back(state: State) -> None:
    assert advance(state, Event.FAILED) is State.ROLLING_BACK


def test_a_candidate_that_is_shadowed_is_never_activated_by_the_same_deployment() -> None:
    assert advance(State.SELF_TEST, Event.ASIDE) is State.SHADOW
    after = {TRANSITIONS[pair] for pair in TRANSITIONS if pair[0] is State.SHADOW}
    assert after == {State.REPORTING, State.IDLE}


def test_a_shadow_that_was_interrupted_begins_again_whoever_interrupted_it() -> None:
    assert resume(State.SHADOW, same_boot=True) is State.STAGING
    assert resume(State.SHADOW, same_boot=False) is State.STAGING


def test_a_crash_in_the_trial_is_a_failed_trial() -> None:
    assert resume(State.PROBATION, same_boot=True) is State.ROLLING_BACK


def test_a_power_cut_in_the_trial_begins_it_again() -> None:
    assert resume(State.PROBATION, same_boot=False) is State.STAGING


@pytest.mark.parametrize("table", [RESUME, RESUME_AFTER_BOOT])
def test_a_restart_skips_no_check(table: dict[State, State]) -> None:
    order = list(State)
    for was, now in table.items():
        backwards = order.index(now) <= order.index(was)
        assert backwards or now is State.ROLLING_BACK


def test_states_that_visits_do_not_lead_out_of_change_nothing_forward() -> None:
    assert AT_REST < SETTLED
    assert not SETTLED & {State.ACTIVATING, State.PROBATION, State.COMMITTING}
