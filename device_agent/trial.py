"""Probation on the device: collects the evidence and asks the pure judge.

Without traffic it exercises the golden samples, which is a sign of life and no evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from device_agent.contacting import CancelledError
from device_agent.context import Context
from device_agent.journal import Deployment
from device_agent.probation import TrialEvidence, TrialJudgement, judge
from device_agent.seats import FrontView
from device_agent.states import State
from device_agent.transport import GoneError
from edgekit.errors import NetworkError, RefusedError
from edgekit.protocol import Outcome, Reason
from edgekit.verdict import Verdict

LOOK_S = 0.1
EXERCISE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """How a trial ended: COMMITTED, UNEXERCISED or REVERTED, with the reason."""

    outcome: Outcome
    reason: Reason = Reason.NONE
    message: str = ""


def probation(ctx: Context, wanted: Deployment, *, heartbeat: Callable[[], None]) -> TrialResult:
    """Watch the candidate that answers now, until a budget is broken or its time is over.

    Args:
        ctx: Collaborators.
        wanted: What is on trial.
        heartbeat: Called while waiting; keeps contact with the server.

    Raises:
        Stopped: The agent shall end; the trial counts as interrupted.
    """
    started_s, told = ctx.clock(), False
    while True:
        judgement = _look(ctx, wanted, ctx.clock() - started_s)
        match judgement.verdict:
            case Verdict.FAIL:
                return _reverted(judgement)
            case Verdict.PASS:
                return TrialResult(outcome=Outcome.COMMITTED)
            case Verdict.INCONCLUSIVE:
                return _exercise(ctx, wanted)
            case Verdict.PENDING:
                told = told or _told(ctx, wanted)
                try:
                    heartbeat()
                except CancelledError as error:
                    return TrialResult(
                        outcome=Outcome.REVERTED, reason=Reason.INTERRUPTED, message=str(error)
                    )
                ctx.wait(LOOK_S)


def _told(ctx: Context, wanted: Deployment) -> bool:
    """Tell the server that the candidate answers; True when there is no need to try again."""
    if ctx.contact.failures and ctx.clock() < ctx.contact.next_poll_s:
        return False
    try:
        ctx.ddi.proceeding(wanted, State.PROBATION, f"{wanted.version} is on probation")
    except GoneError:
        return True
    except (NetworkError, RefusedError) as error:
        ctx.contact.next_poll_s = ctx.clock() + ctx.missed(error)
        return False
    return True


def _look(ctx: Context, wanted: Deployment, elapsed_s: float) -> TrialJudgement:
    front = ctx.supervisor.view().get(wanted.model)
    if front is None or front.digest != wanted.digest:
        return TrialJudgement(
            verdict=Verdict.FAIL, reason=Reason.CRASH, message="the worker crashed or hung"
        )
    if not front.serving and not front.crashes + front.hangs:
        return TrialJudgement(verdict=Verdict.PENDING)
    return judge(_evidence(front, elapsed_s), ctx.config.probation)


def _evidence(front: FrontView, elapsed_s: float) -> TrialEvidence:
    stats = front.stats
    return TrialEvidence(
        elapsed_s=elapsed_s,
        inferences=stats.inferences,
        errors=sum(stats.errors.values()),
        nan_outputs=stats.nan_outputs,
        late=stats.late,
        crashes=front.crashes,
        hangs=front.hangs,
        rss_mb=stats.rss_mb,
    )


def _exercise(ctx: Context, wanted: Deployment) -> TrialResult:
    """Recompute the golden samples in the worker that answers: no evidence, but a sign of life."""
    ctx.supervisor.exercise(wanted.model)
    deadline_s = ctx.clock() + EXERCISE_S
    while ctx.clock() < deadline_s:
        front = ctx.supervisor.view().get(wanted.model)
        if front is None or front.digest != wanted.digest or front.crashes + front.hangs:
            message = "the worker crashed or hung on golden samples"
            return TrialResult(outcome=Outcome.REVERTED, reason=Reason.CRASH, message=message)
        if front.stats.exercise_failed:
            message = "golden samples no longer reproduce"
            return TrialResult(outcome=Outcome.REVERTED, reason=Reason.GOLDEN, message=message)
        if front.stats.exercised:
            return TrialResult(outcome=Outcome.UNEXERCISED)
        ctx.wait(LOOK_S)
    message = f"golden samples took more than {EXERCISE_S:.0f} s"
    return TrialResult(outcome=Outcome.REVERTED, reason=Reason.DEADLINE, message=message)


def _reverted(judgement: TrialJudgement) -> TrialResult:
    return TrialResult(outcome=Outcome.REVERTED, reason=judgement.reason, message=judgement.message)
