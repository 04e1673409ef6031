"""What people may do with a rollout. Pure: a verb and a name in, the rollout and what happened out.

A verb that asks for what is so already changes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from edgekit.errors import ConflictError
from fleet_server.domain.errors import IllegalTransitionError
from fleet_server.domain.happenings import Aborted, Approved, Paused, Resumed
from fleet_server.domain.rollout import Outcome, Phase, Rollout, next_stage


def pause(rollout: Rollout, *, by: str, now: datetime, reason: str = "") -> Outcome:
    """Stop new offers until a person resumes; a paused rollout stays as it is.

    Raises:
        IllegalTransitionError: It is terminal.
    """
    if rollout.phase is Phase.PAUSED:
        return rollout, ()
    _refuse_terminal(rollout, "pause")
    happening = Paused(stage=rollout.stage_index, by=by, reason=reason)
    return replace(rollout, phase=Phase.PAUSED, changed_at=now), (happening,)


def resume(rollout: Rollout, *, by: str, now: datetime) -> Outcome:
    """Go on with the stage; its timeout and its looks begin anew, its evidence stays.

    Before the first stage opened it is SCHEDULED again, so that `not_before` still holds.

    Raises:
        IllegalTransitionError: It is neither HELD nor PAUSED nor RUNNING.
    """
    if rollout.phase is Phase.RUNNING:
        return rollout, ()
    if rollout.phase not in {Phase.HELD, Phase.PAUSED}:
        raise IllegalTransitionError(rollout.phase, "resume", where=f"rollout {rollout.id}")
    begun = rollout.stage_index > 0 or rollout.stage_started_at is not None
    phase = Phase.RUNNING if begun else Phase.SCHEDULED
    resumed = replace(rollout, phase=phase, resumed_at=now, looks_taken=0, changed_at=now)
    return resumed, (Resumed(stage=rollout.stage_index, by=by),)


def promote(rollout: Rollout, *, by: str, now: datetime) -> Outcome:
    """End the stage as passed, whatever the gate says: a person answers for it.

    Raises:
        IllegalTransitionError: It is terminal, not started, or its stage is not open yet.
    """
    if rollout.is_terminal or rollout.stage_started_at is None:
        raise IllegalTransitionError(rollout.phase, "promote", where=f"rollout {rollout.id}")
    return next_stage(replace(rollout, vouched=rollout.stage_index + 1), now, by=by)


def abort(rollout: Rollout, *, by: str, now: datetime, reason: str = "") -> Outcome:
    """Stop and go back; an aborted rollout stays as it is.

    Raises:
        IllegalTransitionError: It is FINISHED or ROLLED_BACK.
    """
    if rollout.phase is Phase.ABORTED:
        return rollout, ()
    _refuse_terminal(rollout, "abort")
    happening = Aborted(stage=rollout.stage_index, by=by, reason=reason)
    return replace(rollout, phase=Phase.ABORTED, changed_at=now), (happening,)


def approve(rollout: Rollout, *, by: str, now: datetime) -> Outcome:
    """Let the stage open that waits for a second person; approving twice changes nothing.

    Raises:
        IllegalTransitionError: No stage waits for approval.
        ConflictError: It is the person who started the rollout.
    """
    if str(rollout.stage_index) in rollout.approvals and rollout.stage.approval:
        return rollout, ()
    if not rollout.awaits_approval:
        raise IllegalTransitionError(rollout.phase, "approve", where=f"rollout {rollout.id}")
    if by == rollout.created_by:
        raise ConflictError(
            "is to be approved by somebody else than who started it", where=f"rollout {rollout.id}"
        )
    approvals = {**rollout.approvals, str(rollout.stage_index): by}
    approved = replace(rollout, approvals=approvals, changed_at=now)
    return approved, (Approved(stage=rollout.stage_index, by=by),)


def _refuse_terminal(rollout: Rollout, verb: str) -> None:
    if rollout.is_terminal:
        raise IllegalTransitionError(rollout.phase, verb, where=f"rollout {rollout.id}")
