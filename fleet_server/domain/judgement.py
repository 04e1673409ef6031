"""What a gate answers: a verdict with the checks, numbers and sentences that it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from edgekit.verdict import Verdict


class CheckName(StrEnum):
    """The checks of a gate. Stored values are never renamed."""

    FAILED_DEVICES = "failed_devices"
    SILENT_DEVICES = "silent_devices"
    EVIDENCE = "evidence"
    ON_TRIAL = "on_trial"
    LEFT_OUT = "left_out"
    ERROR_RATE = "error_rate"
    LATENCY_BUDGET = "latency_budget"
    LATENCY_TIMES_BEFORE = "latency_times_before"
    RELATIVE_LATENCY = "relative_latency"
    RELATIVE_TAIL = "relative_tail"
    RELATIVE_ERRORS = "relative_errors"
    RELATIVE_MEMORY = "relative_memory"
    NEIGHBOUR_LATENCY = "neighbour_latency"
    NEIGHBOUR_MEMORY = "neighbour_memory"
    FIELD_ACCURACY = "field_accuracy"
    DRIFT = "drift"
    SHADOW_AGREEMENT = "shadow_agreement"
    SHADOW_LATENCY = "shadow_latency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question and its answer.

    Attributes:
        name: The question.
        variant: The variant (and class of profile) it was asked about; empty for the whole stage.
        verdict: The answer.
        sentence: What was seen, and what could have been seen; for people.
        numbers: What the answer was computed from; latencies in ms, shares in [0, 1].
    """

    name: CheckName
    variant: str = ""
    verdict: Verdict
    sentence: str
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A gate's answer about one stage.

    Attributes:
        verdict: PASS, PENDING, INCONCLUSIVE or FAIL.
        look: Planned look that was taken, 1 to the policy's `looks`; 0 when none was due.
        checks: In the order of asking.
    """

    verdict: Verdict
    look: int
    checks: tuple[Check, ...]

    @property
    def sentence(self) -> str:
        """The sentences of the checks that decided, or of all when none stands out."""
        deciding = [check for check in self.checks if check.verdict is self.verdict]
        return " ".join(check.sentence for check in deciding or self.checks)
