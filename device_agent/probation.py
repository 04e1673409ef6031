"""The trial of a candidate, judged: evidence -> Verdict. Pure.

FAIL takes the candidate back at once, PASS commits it, INCONCLUSIVE means that the time is over
without enough inferences, so that nothing is known about real traffic.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.protocol import Reason
from edgekit.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a candidate may do during probation before it is taken back.

    Attributes:
        duration_s: Length of the trial.
        minimum_inferences: Answers that make it a trial, at least 1; with fewer the golden
            samples are run and the outcome is `unexercised`.
        crashes: Crashes and hangs that are forgiven.
        nan_outputs: Answers with a NaN that are forgiven.
        error_share: Errors as a share of all attempts, judged from `minimum_inferences` on.
        deadline_share: Answers later than `deadline_ms` as a share, judged likewise.
        memory_mb: Resident memory of the worker; 0 is no limit.
    """

    duration_s: float = 60.0
    minimum_inferences: int = 20
    crashes: int = 0
    nan_outputs: int = 0
    error_share: float = 0.02
    deadline_share: float = 0.05
    memory_mb: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEvidence:
    """What a candidate did since it was activated.

    Attributes:
        elapsed_s: Time since then.
        inferences: Answers given.
        errors: Inferences without an answer.
        nan_outputs: Answers that held a NaN.
        late: Answers after the deadline.
        crashes: Times that its process ended by itself.
        hangs: Times that it was ended because an inference did not.
        rss_mb: Resident memory now.
    """

    elapsed_s: float
    inferences: int = 0
    errors: int = 0
    nan_outputs: int = 0
    late: int = 0
    crashes: int = 0
    hangs: int = 0
    rss_mb: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialJudgement:
    """An answer with its reason.

    Attributes:
        verdict: PENDING while the trial goes on.
        reason: What a FAIL is about.
        message: The same as a clause with numbers.
    """

    verdict: Verdict
    reason: Reason = Reason.NONE
    message: str = ""


def judge(evidence: TrialEvidence, budget: Budget) -> TrialJudgement:
    """Judge a trial; a broken budget fails it at any time, time alone never passes it."""
    broken = _broken(evidence, budget)
    if broken is not None:
        return TrialJudgement(verdict=Verdict.FAIL, reason=broken[0], message=broken[1])
    if evidence.elapsed_s < budget.duration_s:
        return TrialJudgement(verdict=Verdict.PENDING)
    if evidence.inferences < max(1, budget.minimum_inferences):
        return TrialJudgement(
            verdict=Verdict.INCONCLUSIVE,
            message=f"{evidence.inferences} inferences in {evidence.elapsed_s:.0f} s",
        )
    return TrialJudgement(verdict=Verdict.PASS)


def _broken(evidence: TrialEvidence, budget: Budget) -> tuple[Reason, str] | None:
    ended = evidence.crashes + evidence.hangs
    if ended > budget.crashes:
        kind = "did not answer in time and was ended" if evidence.hangs else "crashed"
        return Reason.CRASH, f"the worker {kind}, {ended} time(s)"
    if evidence.nan_outputs > budget.nan_outputs:
        return Reason.NAN, f"{evidence.nan_outputs} answer(s) held a NaN"
    if budget.memory_mb and evidence.rss_mb > budget.memory_mb:
        return Reason.MEMORY, f"{evidence.rss_mb:.0f} MiB, allowed are {budget.memory_mb:.0f}"
    return _broken_share(evidence, budget)


def _broken_share(evidence: TrialEvidence, budget: Budget) -> tuple[Reason, str] | None:
    attempts = evidence.inferences + evidence.errors
    if attempts < max(1, budget.minimum_inferences):
        return None
    if evidence.errors > budget.error_share * attempts:
        return Reason.ERRORS, f"{evidence.errors} of {attempts} inferences failed"
    if evidence.late > budget.deadline_share * max(1, evidence.inferences):
        return Reason.DEADLINE, f"{evidence.late} of {evidence.inferences} answers came late"
    return None
