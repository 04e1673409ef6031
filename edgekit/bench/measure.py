"""Run things repeatedly and time each run; the only place of the harness that reads a clock.

Candidates take turns in the order A B B A, so that a machine that gets slower or faster during
the run does so for all of them.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter_ns

from edgekit.bench.effort import Effort
from edgekit.bench.steadiness import warmed

MAX_RUNS = 1_000_000
WARM_BLOCK_S = 0.05
WARM_BLOCK_RUNS = 5
MAX_WARMUP_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """What came before the measurements that count.

    Attributes:
        runs: How many.
        seconds: How long they took.
        stable: Whether it ended because it was stable; False if time was up first.
    """

    runs: int
    seconds: float
    stable: bool


def measure(
    candidates: Mapping[str, Callable[[], object]], effort: Effort
) -> dict[str, list[float]]:
    """Time every candidate; return milliseconds of each counted run, in order, by name.

    The garbage collector rests while measuring and runs before.
    """
    for run in candidates.values():
        warm_up(run, effort.warmup_runs)
    with resting_collector():
        return _rounds(candidates, effort)


def warm_up(run: Callable[[], object], runs: int | None) -> WarmUp:
    """Run without counting: so many times, or until it is stable, ten seconds at most."""
    began_ns = perf_counter_ns()
    if runs is not None:
        for _ in range(runs):
            run()
        return WarmUp(runs=runs, seconds=_since_s(began_ns), stable=True)
    medians: list[float] = []
    done = 0
    while not warmed(medians):
        if _since_s(began_ns) > MAX_WARMUP_S:
            return WarmUp(runs=done, seconds=_since_s(began_ns), stable=False)
        block = _block(run)
        medians.append(median(block))
        done += len(block)
    return WarmUp(runs=done, seconds=_since_s(began_ns), stable=True)


@contextmanager
def resting_collector() -> Iterator[None]:
    """Collect garbage now and not again before the block ends."""
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _block(run: Callable[[], object]) -> list[float]:
    began_ns = perf_counter_ns()
    times = [timed_ms(run)]
    while len(times) < WARM_BLOCK_RUNS or _since_s(began_ns) < WARM_BLOCK_S:
        times.append(timed_ms(run))
    return times


def _since_s(began_ns: int) -> float:
    return (perf_counter_ns() - began_ns) / 1e9


def _rounds(
    candidates: Mapping[str, Callable[[], object]], effort: Effort
) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    order = list(candidates)
    until_ns = perf_counter_ns() + int(effort.min_secs * 1e9)
    rounds = 0
    while rounds < effort.num_runs or perf_counter_ns() < until_ns:
        for name in order if rounds % 2 == 0 else reversed(order):
            samples[name].append(timed_ms(candidates[name]))
        rounds += 1
        if rounds >= MAX_RUNS:
            break
    return samples


def timed_ms(run: Callable[[], object]) -> float:
    """Return how long one run takes, milliseconds."""
    start = perf_counter_ns()
    run()
    return (perf_counter_ns() - start) / 1e6
