"""Happenings of a rollout as records: one sentence for people, the facts beside it."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from edgekit import codec
from fleet_server.domain.happenings import (
    Aborted,
    Approved,
    Extended,
    Finished,
    Happening,
    Held,
    Paused,
    Promoted,
    Resumed,
    Retried,
    RolledBack,
    RolloutStarted,
    StageJudged,
    StageStarted,
)
from fleet_server.services.records.rollouts import HappeningRecord


def recorded(happening: Happening, *, stage: int, at: datetime) -> HappeningRecord:
    """Return what is stored of a happening.

    Args:
        happening: What happened.
        stage: Stage of the rollout, for happenings that name none.
        at: When, UTC.
    """
    return HappeningRecord(
        at=at,
        kind=happening.kind,
        stage=getattr(happening, "stage", stage),
        text=sentence(happening),
        body=codec.plain(happening),
    )


def sentence(happening: Happening) -> str:  # noqa: C901, PLR0911, PLR0912 (one line a kind)
    """Return a happening as one sentence."""
    match happening:
        case RolloutStarted():
            return "The rollout started."
        case StageStarted(stage=stage, chosen=chosen, late=late):
            again = f" again, for {', '.join(late)} who came later" if late else ""
            return f"Stage {stage + 1} is open{again}{_chosen(chosen)}."
        case StageJudged(judgement=judgement):
            return f"{judgement.verdict.value.capitalize()}: {judgement.sentence}"
        case Promoted(stage=stage, by=by):
            return f"Stage {stage + 1} is passed{_by(by)}."
        case Held(reason=reason):
            return f"Held, a person must look: {reason}"
        case Extended(reason=reason):
            return f"The stage gets its time once more: {reason}"
        case Approved(stage=stage, by=by):
            return f"Stage {stage + 1} is approved{_by(by)}."
        case Retried(by=by, devices=devices):
            return f"Tried again{_by(by)} on {len(devices)} devices{_names(devices)}."
        case Paused(by=by, reason=reason):
            return f"Paused{_by(by)}{_because(reason)}"
        case Resumed(by=by):
            return f"Resumed{_by(by)}."
        case RolledBack(reason=reason):
            return f"Rolled back{_because(reason)}"
        case Aborted(by=by, reason=reason):
            return f"Aborted{_by(by)}{_because(reason)}"
        case Finished():
            return "The last stage is passed: the rollout is finished."
        case _:
            assert_never(happening)


def _chosen(ids: tuple[str, ...]) -> str:
    return f"; chosen{_names(ids)}" if ids else ""


def _names(chosen: tuple[str, ...]) -> str:
    if not chosen:
        return ""
    shown = ", ".join(chosen[:10])
    return f": {shown}" + (f" and {len(chosen) - 10} more" if len(chosen) > 10 else "")


def _by(person: str) -> str:
    return f" by {person}" if person else ""


def _because(reason: str) -> str:
    return f": {reason}" if reason else "."
