"""How long to measure: the numbers of one run, and the presets that people know. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to measure. Both minimums have to be met.

    Attributes:
        warmup_runs: Runs of each candidate that are not counted; None until it is stable.
        num_runs: Fewest counted runs of each candidate.
        min_secs: Shortest time for all candidates together, seconds.
    """

    warmup_runs: int | None = 10
    num_runs: int = 128
    min_secs: float = 1.0


class Preset(StrEnum):
    """Efforts that others use too.

    Source: MLPerf Inference rules, single stream (edge); MLPerf Mobile rules, run modes.
    """

    QUICK = "quick"
    MOBILE = "mobile"
    MLPERF = "mlperf"


PRESETS: dict[Preset, Effort] = {
    Preset.QUICK: Effort(warmup_runs=None, num_runs=128, min_secs=10.0),
    Preset.MOBILE: Effort(warmup_runs=None, num_runs=1024, min_secs=60.0),
    Preset.MLPERF: Effort(warmup_runs=None, num_runs=1024, min_secs=600.0),
}
DEFAULT = Effort(warmup_runs=None, num_runs=128, min_secs=1.0)
