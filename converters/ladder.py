"""Carries out a recipe within a budget: rung after rung until the loss of accuracy is accepted.

Without a budget only the first rung is tried, and what it costs is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from converters.budget import Judgement, judge_drop
from converters.plan import ConversionPlan
from converters.proof import Checked
from converters.quantize import Rung, arithmetic_for
from converters.report import Attempt
from converters.steps import Prepared, Watch, check, quantize
from converters.targets.registry import Variant
from edgekit.errors import BudgetError, EdgeKitError, InconclusiveError, ParityError, TargetError
from edgekit.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Climbed:
    """Where the ladder ended.

    Attributes:
        checked: The variant, proven.
        rung: How it was made.
        judgement: Its loss; None where the metric has no accuracy.
        attempts: Every rung that was tried, in order.
        warnings: What a person should know about the file.
    """

    checked: Checked
    rung: Rung
    judgement: Judgement | None
    attempts: tuple[Attempt, ...]
    warnings: tuple[str, ...] = ()


def climb(
    variant: Variant,
    prepared: Prepared,
    plan: ConversionPlan,
    *,
    floating: Path,
    work: Path,
    watch: Watch,
) -> Climbed:
    """Return the first rung whose loss is within the budget.

    Raises:
        BudgetError: The loss of every rung is beyond the budget.
        InconclusiveError: No rung passes, and for at least one there are too few samples to tell.
        ParityError: Without a budget, the variant does not compute what the source computes.
    """
    rungs = variant.recipe.rungs if plan.max_accuracy_drop is not None else variant.recipe.rungs[:1]
    attempts: list[Attempt] = []
    for number, rung in enumerate(_fitting(rungs, variant, plan)):
        try:
            model, warnings = quantize(
                variant, rung, prepared, floating=floating, work=work, number=number, watch=watch
            )
            checked = check(variant, prepared, plan, model, watch)
        except (ParityError, TargetError) as error:
            if plan.max_accuracy_drop is None or len(rungs) == 1:
                raise
            attempts.append(Attempt(rung=rung.name, verdict=Verdict.FAIL, reason=error.what))
            continue
        judgement = _judge(prepared, plan, checked)
        attempts.append(_attempt(rung, judgement, judged=plan.max_accuracy_drop is not None))
        if judgement is None or plan.max_accuracy_drop is None or _passes(judgement):
            return Climbed(
                checked=checked,
                rung=rung,
                judgement=judgement,
                attempts=tuple(attempts),
                warnings=warnings,
            )
    raise _nothing_passed(variant.name, plan.max_accuracy_drop or 0.0, attempts)


def _fitting(rungs: Sequence[Rung], variant: Variant, plan: ConversionPlan) -> tuple[Rung, ...]:
    """Return the rungs in the arithmetic of the processors that the plan is for."""
    if not getattr(variant.target, "chooses_arithmetic", False):
        return tuple(rungs)
    arithmetic = arithmetic_for([profile.instruction_sets for profile in plan.profiles])
    return tuple(replace(rung, arithmetic=arithmetic) for rung in rungs)


def _passes(judgement: Judgement) -> bool:
    return judgement.verdict is Verdict.PASS


def _judge(prepared: Prepared, plan: ConversionPlan, checked: Checked) -> Judgement | None:
    reference = prepared.reference
    if reference.truth is None:
        return None
    return judge_drop(
        reference.metric,
        reference.answers,
        checked.answers,
        reference.truth,
        allowed=plan.max_accuracy_drop if plan.max_accuracy_drop is not None else float("inf"),
    )


def _attempt(rung: Rung, judgement: Judgement | None, *, judged: bool) -> Attempt:
    if judgement is None:
        return Attempt(rung=rung.name, verdict=Verdict.PENDING, reason="has no accuracy to lose")
    return Attempt(
        rung=rung.name,
        verdict=judgement.verdict if judged else Verdict.PENDING,
        drop=judgement.drop,
        low=judgement.low,
        high=judgement.high,
        missing_samples=judgement.missing_samples,
    )


def _nothing_passed(where: str, allowed: float, attempts: Sequence[Attempt]) -> EdgeKitError:
    told = "; ".join(f"{a.rung}: {_said(a)}" for a in attempts)
    open_ = [a for a in attempts if a.verdict is Verdict.INCONCLUSIVE]
    if not open_:
        return BudgetError(f"no rung keeps the loss within {allowed:g} ({told})", where=where)
    closest = min(open_, key=lambda a: (a.missing_samples is None, a.missing_samples or 0))
    more = "no number of samples is in sight that would tell"
    if closest.missing_samples is not None:
        more = f"evaluate on {closest.missing_samples} more samples"
    return InconclusiveError(
        f"too few samples to say whether the loss is within {allowed:g} ({told})",
        where=where,
        todo=f"{more}, or allow more",
    )


def _said(attempt: Attempt) -> str:
    if attempt.drop is None:
        return attempt.reason
    return f"{attempt.drop:.2f} ({attempt.low:.2f} to {attempt.high:.2f}) {attempt.verdict}"
