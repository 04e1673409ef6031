"""A candidate on the same inputs as the model that answers: what is asked for, what came of it.

Values that server, agent and workers exchange. Imports no NumPy; compares nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

FEATURE = "shadow"
"""In a device's profile: its agent can run a candidate beside the model that answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowOrder:
    """How a device shall try a candidate that answers nobody.

    Attributes:
        every: One in so many live inputs goes to the candidate too, at least 1.
        duration_s: For how long, seconds.
        similarity: Detectors and segmenters agree from so much overlap on, in [0, 1].
        tolerance: Other outputs agree when no element differs by more than this share of the
            largest absolute value that the serving model gave.
    """

    every: int = 10
    duration_s: float = 600.0
    similarity: float = 0.5
    tolerance: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowResult:
    """Pairs of answers to the same inputs. Sums merge exactly.

    Attributes:
        against: SHA-256 of the bundle that served; empty when none did.
        pairs: Inputs that both answered.
        agreed: Pairs whose answers agree.
        failed: Inputs that the candidate did not answer.
        dropped: Inputs left out because the candidate was not done with the ones before.
        golden: Golden samples recomputed for want of live inputs: a sign of life, no evidence.
        sum_log_ratio: Sum of ln(candidate's latency / serving model's latency) over the pairs.
        sum_sq_log_ratio: Sum of squares of the same.
    """

    against: str = ""
    pairs: int = 0
    agreed: int = 0
    failed: int = 0
    dropped: int = 0
    golden: int = 0
    sum_log_ratio: float = 0.0
    sum_sq_log_ratio: float = 0.0

    def __add__(self, other: Self) -> ShadowResult:
        return ShadowResult(
            against=other.against or self.against,
            pairs=self.pairs + other.pairs,
            agreed=self.agreed + other.agreed,
            failed=self.failed + other.failed,
            dropped=self.dropped + other.dropped,
            golden=self.golden + other.golden,
            sum_log_ratio=self.sum_log_ratio + other.sum_log_ratio,
            sum_sq_log_ratio=self.sum_sq_log_ratio + other.sum_sq_log_ratio,
        )

    @property
    def agreement(self) -> float:
        """Share of the inputs tried that were answered alike, in [0, 1]; 0.0 without any."""
        tried = self.pairs + self.failed
        return self.agreed / tried if tried else 0.0

    @property
    def latency_ratio(self) -> float:
        """Geometric mean of candidate's latency over serving model's; 1.0 without a pair."""
        return math.exp(self.sum_log_ratio / self.pairs) if self.pairs else 1.0

    @property
    def is_sound(self) -> bool:
        """Whether the numbers can be: counts not negative, sums finite and possible."""
        counts = (self.pairs, self.agreed, self.failed, self.dropped, self.golden)
        sums = (self.sum_log_ratio, self.sum_sq_log_ratio)
        return (
            all(0 <= count < 1 << 48 for count in counts)
            and self.agreed <= self.pairs
            and all(map(math.isfinite, sums))
            and self.sum_log_ratio**2 <= self.sum_sq_log_ratio * self.pairs * (1 + 1e-9) + 1e-9
            and len(self.against) in {0, 64}
        )
