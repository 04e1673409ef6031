"""A candidate beside the model that answers: for how long, and what is said about it meanwhile.

It answers nobody. What it found goes to the server, which judges; here only what is wrong with
the candidate itself ends it: a crash, a hang, its memory, golden samples that do not reproduce.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from device_agent.contacting import heartbeat
from device_agent.context import Context
from device_agent.journal import Deployment
from device_agent.seats import CandidateView
from device_agent.states import State
from device_agent.transport import GoneError
from device_agent.trial import EXERCISE_S, LOOK_S
from edgekit.errors import NetworkError, RefusedError
from edgekit.protocol import Outcome, Reason
from edgekit.shadow import ShadowOrder, ShadowResult

REPORTS = 20
"""So often at most the server hears what was found so far."""
LEAST_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowEnd:
    """How it ended: SHADOWED with what was found, or REJECTED with the reason."""

    outcome: Outcome
    found: ShadowResult = field(default_factory=ShadowResult)
    reason: Reason = Reason.NONE
    message: str = ""


def stand_by(ctx: Context, wanted: Deployment, order: ShadowOrder) -> ShadowEnd:
    """Try a prepared candidate until its time is over or something is wrong with it.

    Raises:
        CancelledError: The server wants no more of it.
        Stopped: The agent shall end; it begins again.
    """
    started_s = told_s = ctx.clock()
    period_s = max(LEAST_S, order.duration_s / REPORTS)
    _tell(ctx, wanted, ShadowResult())
    while True:
        seen = ctx.supervisor.stand_by(wanted.model, order)
        broken = _broken(seen, memory_mb=ctx.config.probation.memory_mb)
        if broken is not None or seen is None:
            return broken or _rejected(Reason.CRASH, "the candidate is gone")
        if ctx.clock() - started_s >= order.duration_s:
            return _ended(ctx, wanted, order, seen)
        heartbeat(ctx, wanted)
        if ctx.clock() - told_s >= period_s:
            _tell(ctx, wanted, found_by(seen))
            told_s = ctx.clock()
        ctx.wait(LOOK_S)


def found_by(seen: CandidateView) -> ShadowResult:
    """Return what a candidate found, with what it was compared to."""
    found = seen.stats.shadow or ShadowResult()
    return replace(found, against=seen.beside[0] if seen.beside else "")


def _ended(ctx: Context, wanted: Deployment, order: ShadowOrder, seen: CandidateView) -> ShadowEnd:
    found = found_by(seen)
    if found.pairs + found.failed:
        return ShadowEnd(outcome=Outcome.SHADOWED, found=found)
    ctx.supervisor.exercise(wanted.model)
    deadline_s = ctx.clock() + EXERCISE_S
    while ctx.clock() < deadline_s:
        now = ctx.supervisor.stand_by(wanted.model, order)
        broken = _broken(now, memory_mb=ctx.config.probation.memory_mb)
        if broken is not None or now is None:
            return broken or _rejected(Reason.CRASH, "the candidate is gone")
        if now.stats.exercised:
            golden = replace(found_by(now), golden=now.stats.exercised)
            return ShadowEnd(outcome=Outcome.SHADOWED, found=golden)
        ctx.wait(LOOK_S)
    return _rejected(Reason.DEADLINE, f"golden samples took more than {EXERCISE_S:.0f} s")


def _broken(seen: CandidateView | None, *, memory_mb: float) -> ShadowEnd | None:
    if seen is None:
        return None
    if seen.ended:
        how = "did not answer in time and was ended" if seen.hung else "crashed"
        return _rejected(Reason.CRASH, f"the candidate {how} beside the model that answers")
    if seen.stats.exercise_failed:
        return _rejected(Reason.GOLDEN, "golden samples no longer reproduce")
    if memory_mb and seen.stats.rss_mb > memory_mb:
        message = f"{seen.stats.rss_mb:.0f} MiB, allowed are {memory_mb:.0f}"
        return _rejected(Reason.MEMORY, message)
    return None


def _rejected(reason: Reason, message: str) -> ShadowEnd:
    return ShadowEnd(outcome=Outcome.REJECTED, reason=reason, message=message)


def _tell(ctx: Context, wanted: Deployment, found: ShadowResult) -> None:
    """Tell the server what was found so far; it hears the whole at the end anyway."""
    if ctx.contact.failures:
        return
    detail = f"{found.agreed} of {found.pairs} answers agree, {found.failed} failed"
    try:
        ctx.ddi.proceeding(wanted, State.SHADOW, detail, shadow=found)
    except GoneError:
        return
    except (NetworkError, RefusedError) as error:
        ctx.contact.next_poll_s = ctx.clock() + ctx.missed(error)
