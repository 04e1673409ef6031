"""Run things repeatedly and time each run; the only place of the harness that reads a clock.

Candidates take turns in the order A B B A, so that a machine that gets slower or faster during
the run does so for all of them.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter_ns

MAX_RUNS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to measure. Both minimums have to be met.

    Attributes:
        warmup_runs: Runs of each candidate that are not counted.
        num_runs: Fewest counted runs of each candidate.
        min_secs: Shortest time for all candidates together, seconds.
    """

    warmup_runs: int = 10
    num_runs: int = 128
    min_secs: float = 1.0


def measure(
    candidates: Mapping[str, Callable[[], object]], effort: Effort
) -> dict[str, list[float]]:
    """Time every candidate; return milliseconds of each counted run, in order, by name.

    The garbage collector rests while measuring and runs before.
    """
    for run in candidates.values():
        for _ in range(effort.warmup_runs):
            run()
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return _rounds(candidates, effort)
    finally:
        if was_enabled:
            gc.enable()


def _rounds(
    candidates: Mapping[str, Callable[[], object]], effort: Effort
) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    order = list(candidates)
    until_ns = perf_counter_ns() + int(effort.min_secs * 1e9)
    rounds = 0
    while rounds < effort.num_runs or perf_counter_ns() < until_ns:
        for name in order if rounds % 2 == 0 else reversed(order):
            samples[name].append(_timed_ms(candidates[name]))
        rounds += 1
        if rounds >= MAX_RUNS:
            break
    return samples


def _timed_ms(run: Callable[[], object]) -> float:
    start = perf_counter_ns()
    run()
    return (perf_counter_ns() - start) / 1e6
