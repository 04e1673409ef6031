"""A release going to devices: the server's brain, without clock, store or network.

`step` is called again and again with fresh evidence; calling it twice with the same arguments
changes nothing the second time. A stage widens only when its gate says PASS on evidence of every
variant, or when a person says so. Terminal phases stay.

    SCHEDULED -> RUNNING -> FINISHED
                 RUNNING -> HELD (gate) | PAUSED (person, or FAIL by policy) -> RUNNING
    SCHEDULED -> PAUSED (person) -> SCHEDULED
                 RUNNING | HELD | PAUSED -> ROLLED_BACK (gate says FAIL)
                 every phase that is not terminal -> ABORTED (person)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from edgekit.verdict import Verdict
from fleet_server.domain.assignment import Candidate, choose_canaries
from fleet_server.domain.evidence import Evidence, Stratum
from fleet_server.domain.gate import judge, looks_due
from fleet_server.domain.happenings import (
    Extended,
    Finished,
    Happening,
    Held,
    Paused,
    Promoted,
    RolledBack,
    RolloutStarted,
    StageJudged,
    StageStarted,
)
from fleet_server.domain.judgement import Judgement
from fleet_server.domain.policy import (
    OnFail,
    OnInconclusive,
    RolloutPolicy,
    Stage,
    check_policy,
)
from fleet_server.domain.shadow_gate import judge_shadow


class Phase(StrEnum):
    """Where a rollout stands. Stored values are never renamed."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    HELD = "held"
    PAUSED = "paused"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"
    FINISHED = "finished"


MAX_EXTENSIONS = 1
"""Every further look at the same stage adds to its false alarms: once, then a person decides."""

TERMINAL_PHASES = frozenset({Phase.ROLLED_BACK, Phase.ABORTED, Phase.FINISHED})
UNDONE_PHASES = frozenset({Phase.ROLLED_BACK, Phase.ABORTED})
"""Devices that run the release because of such a rollout go back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One release of one model on its way.

    Attributes:
        id: Its identity, also the seed of the shares.
        model: Name of the model.
        version: The release.
        policy: Stages, gate and reactions; checked when the rollout was made.
        created_by: Who started it.
        approvals: Index of a stage, as text, to the second person who approved it.
        extended: How often the stage's time was extended.
        created_at: UTC; of several rollouts the later is the newer intention.
        not_before: UTC; it starts at the first step from then on. None: at once.
        phase: Where it stands.
        stage_index: The stage it is in, from 0.
        stage_started_at: UTC; None while the stage waits for `open_stage`.
        resumed_at: UTC; a stage's timeout counts from here after a person resumed it.
        looks_taken: Planned looks that this stage used up.
        chosen: Devices chosen by number, of all stages so far.
        passed: Stratum, as text, to the number of stages that it passed on its own evidence. A
            stratum that came later climbs the same stages while the others wait.
        vouched: Number of stages that a person promoted past, for every stratum.
        reopening: Strata came later or climbed, or the clock stepped: `open_stage` chooses again.
        changed_at: UTC, of the last change of phase or stage.
    """

    id: str
    model: str
    version: str
    policy: RolloutPolicy
    created_at: datetime
    not_before: datetime | None = None
    phase: Phase = Phase.SCHEDULED
    stage_index: int = 0
    stage_started_at: datetime | None = None
    resumed_at: datetime | None = None
    looks_taken: int = 0
    chosen: frozenset[str] = frozenset()
    passed: Mapping[str, int] = field(default_factory=dict)
    vouched: int = 0
    reopening: bool = False
    created_by: str = ""
    approvals: Mapping[str, str] = field(default_factory=dict)
    extended: int = 0
    changed_at: datetime

    @property
    def stage(self) -> Stage:
        """The stage that it is in."""
        return self.policy.stages[self.stage_index]

    @property
    def is_terminal(self) -> bool:
        """True when it never changes again."""
        return self.phase in TERMINAL_PHASES

    @property
    def needs_opening(self) -> bool:
        """True when the stage waits for `open_stage`: nobody new is offered anything."""
        waits = self.stage_started_at is None or self.reopening
        return self.phase is Phase.RUNNING and waits

    @property
    def awaits_approval(self) -> bool:
        """True when the stage may only open after a second person approved it."""
        approved = str(self.stage_index) in self.approvals
        return self.needs_opening and self.stage.approval and not approved

    def rung(self, stratum: Stratum) -> int:
        """Return the stage, from 0, as far as which a stratum may go by its own evidence.

        A stage by selector is a ring that may hold none of the stratum: it is not waited for. One
        with shadow is behind the others, and its devices are at the first that activates.
        """
        earned = max(self.passed.get(str(stratum), 0), self.vouched)
        stages = self.policy.stages
        while earned < self.stage_index and (stages[earned].selector or stages[earned].shadow):
            earned += 1
        return min(earned, self.stage_index)


Outcome = tuple[Rollout, tuple[Happening, ...]]


def new_rollout(
    *,
    rollout_id: str,
    model: str,
    version: str,
    policy: RolloutPolicy,
    now: datetime,
    by: str = "",
) -> Rollout:
    """Return a scheduled rollout.

    Raises:
        UsageError: The policy cannot be carried out.
    """
    check_policy(policy, f"rollout of {model} {version}")
    return Rollout(
        id=rollout_id,
        model=model,
        version=version,
        policy=policy,
        created_at=now,
        changed_at=now,
        not_before=policy.not_before,
        created_by=by,
    )


def open_stage(rollout: Rollout, candidates: Sequence[Candidate], now: datetime) -> Outcome:
    """Choose the devices of a stage that waits, and start its clock; else change nothing."""
    if not rollout.needs_opening or rollout.awaits_approval:
        return rollout, ()
    strata = sorted({candidate.stratum for candidate in candidates})
    late = tuple(s for s in strata if rollout.rung(s) < rollout.stage_index)
    chosen = _choose(rollout, candidates, late, now)
    opened = replace(
        rollout,
        chosen=chosen,
        stage_started_at=now,
        resumed_at=None,
        looks_taken=0,
        passed={**{str(s): 0 for s in strata}, **rollout.passed},
        reopening=False,
        changed_at=now,
    )
    started = StageStarted(
        stage=rollout.stage_index,
        chosen=tuple(sorted(chosen - rollout.chosen)),
        late=tuple(str(stratum) for stratum in late),
    )
    return opened, (started,)


def _choose(
    rollout: Rollout, candidates: Sequence[Candidate], late: tuple[Stratum, ...], now: datetime
) -> frozenset[str]:
    """Choose by number: for the stage, and for each late stratum by the stage that it is at."""
    in_step = [c for c in candidates if c.stratum not in late]
    chosen = choose_canaries(
        rollout.stage, in_step, rollout_id=rollout.id, now=now, chosen=rollout.chosen
    )
    for stratum in late:
        stage = rollout.policy.stages[rollout.rung(stratum)]
        if stage.devices is not None:
            stage = replace(stage, devices=None, devices_per_variant=1)
        members = [c for c in candidates if c.stratum == stratum]
        chosen = choose_canaries(stage, members, rollout_id=rollout.id, now=now, chosen=chosen)
    return chosen


def begin_anew(rollout: Rollout, *, now: datetime) -> Rollout:
    """Return the rollout with an open stage to be opened again: its times mean nothing any more."""
    if rollout.stage_started_at is None or rollout.is_terminal:
        return rollout
    return replace(rollout, reopening=True, resumed_at=None, changed_at=now)


def step(rollout: Rollout, evidence: Evidence, now: datetime) -> Outcome:
    """Return the rollout after looking at the evidence, and what happened.

    A stage that waits to be opened stays as it is: call `open_stage` when `needs_opening`.
    HELD and PAUSED never go on by themselves, but a guard-rail that breaks still rolls back.
    """
    match rollout.phase:
        case Phase.SCHEDULED:
            return _start(rollout, now)
        case Phase.RUNNING if rollout.stage_started_at is not None and not rollout.reopening:
            return _step_running(rollout, rollout.stage_started_at, evidence, now)
        case Phase.HELD | Phase.PAUSED:
            return _step_waiting(rollout, evidence, now)
        case _:
            return rollout, ()


def _start(rollout: Rollout, now: datetime) -> Outcome:
    if rollout.not_before is not None and now < rollout.not_before:
        return rollout, ()
    return replace(rollout, phase=Phase.RUNNING, changed_at=now), (RolloutStarted(),)


def _step_running(
    rollout: Rollout, started_at: datetime, evidence: Evidence, now: datetime
) -> Outcome:
    gate, stage = rollout.policy.gate, rollout.stage
    if stage.selector:
        evidence = _within_ring(evidence)
    if any(str(p.stratum) not in rollout.passed for p in evidence.populations):
        return replace(rollout, reopening=True), ()
    baked = now - started_at >= timedelta(seconds=stage.bake_s)
    waited_from = rollout.resumed_at or started_at
    timed_out = now - waited_from >= timedelta(seconds=stage.timeout_s)
    if stage.shadow is not None:
        look = 0
        judgement = judge_shadow(gate, stage, evidence, baked=baked, timed_out=timed_out)
    else:
        due = looks_due(gate, stage, evidence, baked=baked)
        look = due if due > rollout.looks_taken else 0
        judgement = judge(gate, stage, evidence, look=look, timed_out=timed_out)
    judged = replace(rollout, looks_taken=max(rollout.looks_taken, look))
    told: tuple[Happening, ...] = (StageJudged(stage=rollout.stage_index, judgement=judgement),)
    match judgement.verdict:
        case Verdict.FAIL:
            return _fail(judged, judgement, now, told=told)
        case Verdict.PASS:
            climbed = _climb(judged, evidence)
            if climbed.reopening:
                return climbed, told
            promoted, happenings = next_stage(climbed, now)
            return promoted, told + happenings
        case Verdict.INCONCLUSIVE:
            return _wait_longer(judged, judgement, now, told=told)
        case Verdict.PENDING:
            return judged, told if look else ()


def _within_ring(evidence: Evidence) -> Evidence:
    """Wait only for the strata that a stage by selector reaches at all."""
    reached = tuple(p for p in evidence.populations if p.taking_part)
    return replace(evidence, populations=reached)


def _wait_longer(
    rollout: Rollout, judgement: Judgement, now: datetime, *, told: tuple[Happening, ...]
) -> Outcome:
    index, reason = rollout.stage_index, judgement.sentence
    extends = rollout.policy.on_inconclusive is OnInconclusive.EXTEND
    if not extends or rollout.extended >= MAX_EXTENSIONS:
        held = replace(rollout, phase=Phase.HELD, changed_at=now)
        return held, (*told, Held(stage=index, reason=reason))
    count = rollout.extended + 1
    longer = replace(rollout, resumed_at=now, looks_taken=0, extended=count, changed_at=now)
    return longer, (*told, Extended(stage=index, reason=reason))


def _climb(rollout: Rollout, evidence: Evidence) -> Rollout:
    """Count the stage for every stratum that showed evidence; the late ones have to go on."""
    earned = {str(p.stratum): rollout.rung(p.stratum) + 1 for p in evidence.awaited}
    late = any(stages <= rollout.stage_index for stages in earned.values())
    return replace(rollout, passed={**rollout.passed, **earned}, reopening=late)


def _step_waiting(rollout: Rollout, evidence: Evidence, now: datetime) -> Outcome:
    if rollout.stage_started_at is None or rollout.policy.on_fail is OnFail.PAUSE:
        return rollout, ()
    gate, stage = rollout.policy.gate, rollout.stage
    if stage.shadow is None:
        judgement = judge(gate, stage, evidence, look=0)
    else:
        judgement = judge_shadow(gate, stage, evidence, baked=False)
    if judgement.verdict is not Verdict.FAIL:
        return rollout, ()
    told = StageJudged(stage=rollout.stage_index, judgement=judgement)
    return _fail(rollout, judgement, now, told=(told,))


def _fail(
    rollout: Rollout, judgement: Judgement, now: datetime, *, told: tuple[Happening, ...]
) -> Outcome:
    index, reason = rollout.stage_index, judgement.sentence
    if rollout.policy.on_fail is OnFail.PAUSE:
        paused = replace(rollout, phase=Phase.PAUSED, changed_at=now)
        return paused, (*told, Paused(stage=index, reason=reason))
    back = replace(rollout, phase=Phase.ROLLED_BACK, changed_at=now)
    return back, (*told, RolledBack(stage=index, reason=reason))


def next_stage(rollout: Rollout, now: datetime, *, by: str = "") -> Outcome:
    """End the stage as passed; `by` is the person who decided, empty for the gate."""
    promoted = Promoted(stage=rollout.stage_index, by=by)
    if rollout.stage_index + 1 == len(rollout.policy.stages):
        finished = replace(rollout, phase=Phase.FINISHED, changed_at=now)
        return finished, (promoted, Finished(stage=rollout.stage_index))
    widened = replace(
        rollout,
        phase=Phase.RUNNING,
        stage_index=rollout.stage_index + 1,
        stage_started_at=None,
        resumed_at=None,
        looks_taken=0,
        reopening=False,
        extended=0,
        changed_at=now,
    )
    return widened, (promoted,)
