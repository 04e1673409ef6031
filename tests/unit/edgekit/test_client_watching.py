from __future__ import annotations

from dataclasses import replace

import pytest

from edgekit.client.watching import exit_code, watch_rollout
from edgekit.client.wire.rollouts import RolloutView
from edgekit.errors import NetworkError

RUNNING = RolloutView(
    id="r1",
    model="digits",
    version="1.1.0",
    phase="running",
    stage=0,
    stages=3,
    started_at="2026-11-21T12:00:00Z",
)
SECOND = replace(RUNNING, stage=1)


class ScriptedClient:
    """Answers `rollout` from a list; None stands for a server that is away."""

    def __init__(self, answers: list[RolloutView | None]) -> None:
        self._answers = iter(answers)

    def rollout(self, rollout: str) -> RolloutView:
        answer = next(self._answers)
        if answer is None:
            raise NetworkError("nobody answers there")
        return answer


def watched(answers: list[RolloutView | None], patience: int = 3) -> list[RolloutView]:
    client = ScriptedClient(answers)
    return list(watch_rollout(client, "r1", wait=lambda _: None, patience=patience))  # type: ignore[arg-type]


@pytest.mark.parametrize("phase", ["finished", "rolled_back", "aborted", "held"])
def test_watching_ends_with_the_rollout_and_tells_only_changes(phase):
    last = replace(SECOND, phase=phase)
    assert watched([RUNNING, RUNNING, SECOND, SECOND, last]) == [RUNNING, SECOND, last]


def test_a_pause_by_a_person_does_not_end_the_watching():
    paused, last = replace(RUNNING, phase="paused"), replace(RUNNING, phase="finished")
    assert watched([paused, last]) == [paused, last]


def test_a_server_that_is_away_for_a_moment_is_waited_for():
    last = replace(RUNNING, phase="finished")
    assert watched([RUNNING, None, None, last]) == [RUNNING, last]


def test_a_server_that_stays_away_is_an_error():
    with pytest.raises(NetworkError):
        watched([RUNNING, None, None, None])


def test_a_server_that_never_answers_is_an_error_at_once():
    with pytest.raises(NetworkError):
        watched([None, RUNNING])


@pytest.mark.parametrize(
    ("phase", "code"),
    [("finished", 0), ("rolled_back", 1), ("aborted", 1), ("held", 3), ("running", 3)],
)
def test_the_exit_code_says_how_it_ended(phase, code):
    assert exit_code(replace(RUNNING, phase=phase)) == code
