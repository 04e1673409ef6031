"""The four answers that a check can give, and how several become one."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """Answer of a gate, a proof or a probation. Stored values are never renamed."""

    PASS = "pass"  # noqa: S105 (a verdict, not a password)
    PENDING = "pending"
    INCONCLUSIVE = "inconclusive"
    FAIL = "fail"


_BEST_TO_WORST = (Verdict.PASS, Verdict.PENDING, Verdict.INCONCLUSIVE, Verdict.FAIL)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst verdict; of none, INCONCLUSIVE, because no evidence is never a pass.

    FAIL beats INCONCLUSIVE beats PENDING beats PASS.
    """
    return max(verdicts, key=_BEST_TO_WORST.index, default=Verdict.INCONCLUSIVE)
