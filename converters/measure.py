"""Latency and memory of the variants here: for the person who converts, never for the manifest.

The clock and the statistics are the harness's (`edgekit.bench`), and the variants take turns.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.bench import Effort, Setting, Summary, bench_path, measure, summarize
from edgekit.runtime.base import Session, Tensor

MAX_RUNS = 300
MIN_RUNS = 5
BUDGET_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds of one inference.

    Attributes:
        values_ms: Each run, in the order in which they were made.
        summary: What they say.
    """

    values_ms: tuple[float, ...]
    summary: Summary


def latencies(
    sessions: Mapping[str, Session], inputs: Sequence[list[Tensor]], *, budget_s: float = BUDGET_S
) -> dict[str, Latency]:
    """Return the milliseconds of one inference at batch 1, without preprocessing, by variant.

    Args:
        sessions: Loaded models that take the same inputs.
        inputs: Real inputs; every session is run on them in turn.
        budget_s: About how long it may take; 5 runs of each are made in any case, 300 at most.
    """
    candidates = {name: _turns(session, inputs) for name, session in sessions.items()}
    for run in candidates.values():
        run()
    began = time.perf_counter()
    for run in candidates.values():
        run()
    one_round_s = max(time.perf_counter() - began, 1e-9)
    runs = min(MAX_RUNS, max(MIN_RUNS, int(budget_s / one_round_s)))
    samples = measure(candidates, Effort(warmup_runs=min(10, runs), num_runs=runs, min_secs=0.0))
    return {
        name: Latency(values_ms=tuple(values), summary=summarize(values, unit="ms"))
        for name, values in samples.items()
    }


def peak_memory_mb(bundle: Path, threads: int) -> float | None:
    """Return the most memory that a fresh process held which ran this bundle alone, MiB."""
    few = Effort(warmup_runs=1, num_runs=MIN_RUNS, min_secs=0.0)
    return bench_path(bundle, Setting(effort=few, threads=threads, starts=1)).memory.peak_mb


def _turns(session: Session, inputs: Sequence[list[Tensor]]) -> Callable[[], object]:
    turn = itertools.cycle(inputs)
    return lambda: session.run(next(turn))
