"""One query after the other, as a device does it: prepare, infer, answer, each timed apart.

The steps of one query are timed within it, so that the inference meets the caches as the
preprocessing left them. Between queries, about once a second, the machine is asked how it is.
Of very many queries every second one is kept, then every fourth, ...: the time is kept to.
"""

from __future__ import annotations

import itertools
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter_ns

import numpy as np
import numpy.typing as npt

from edgekit.bench.condition import Probe, busy_s, probe
from edgekit.bench.effort import Effort
from edgekit.bench.measure import resting_collector
from edgekit.runtime import Tensor

STEPS = ("preprocessing", "inference", "postprocessing")
MAX_KEPT = 1_000_000
"""Queries whose times are kept, evenly spread; 32 bytes each."""
_PROBE_NS = 1_000_000_000
_MARKS = 4

Prepare = Callable[[], Sequence[Tensor]]
Infer = Callable[[Sequence[Tensor]], Sequence[Tensor]]
Answer = Callable[[Sequence[Tensor]], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The steps of one query.

    Attributes:
        prepare: One for each raw sample, taken in turn.
        infer: The runtime alone.
        answer: From the outputs to what the user wanted; None if there is nothing to do.
    """

    prepare: Sequence[Prepare]
    infer: Infer
    answer: Answer | None = None

    def turns(self) -> Callable[[], object]:
        """Return a function that makes the next query whole."""
        turn = itertools.cycle(self.prepare)
        if self.answer is None:
            return lambda: self.infer(next(turn)())
        answer = self.answer
        return lambda: answer(self.infer(next(turn)()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What was measured.

    Attributes:
        started_s: When each query that was kept began, seconds after the first; shape [kept].
        steps_ms: Of each of them preprocessing, inference, postprocessing; shape [kept, 3].
        probes: How the machine was.
        other_load: Cores that everything else kept busy; None where that is not told.
    """

    started_s: npt.NDArray[np.float64]
    steps_ms: npt.NDArray[np.float64]
    probes: tuple[Probe, ...] = field(default=())
    other_load: float | None = None


def stream(query: Query, effort: Effort) -> Stream:
    """Make queries until both minimums of the effort are met; the garbage collector rests."""
    busy, own, began = busy_s(), time.process_time(), time.perf_counter()
    with resting_collector():
        marks, probes = _run(query, effort)
    passed = time.perf_counter() - began
    after = busy_s()
    others = None
    if busy is not None and after is not None:
        others = max(0.0, (after - busy - (time.process_time() - own)) / passed)
    times = np.asarray(marks, dtype=np.float64).reshape(-1, _MARKS) / 1e6
    return Stream(
        started_s=(times[:, 0] - times[0, 0]) / 1e3,
        steps_ms=np.diff(times, axis=1),
        probes=tuple(probes),
        other_load=others,
    )


def _run(query: Query, effort: Effort) -> tuple[array[int], list[Probe]]:
    """Return four marks of each query kept (nanoseconds of one clock) and the probes."""
    turn, infer = itertools.cycle(query.prepare), query.infer
    answer = query.answer if query.answer is not None else _nothing
    marks = array("q")
    probes = [probe(0.0)]
    first_ns = perf_counter_ns()
    until_ns, probe_ns = first_ns + int(effort.min_secs * 1e9), first_ns + _PROBE_NS
    runs, every = 0, 1
    while runs < effort.num_runs or perf_counter_ns() < until_ns:
        prepare = next(turn)
        begin = perf_counter_ns()
        tensors = prepare()
        prepared = perf_counter_ns()
        outputs = infer(tensors)
        inferred = perf_counter_ns()
        answer(outputs)
        answered = perf_counter_ns()
        if runs % every == 0:
            marks.extend((begin, prepared, inferred, answered))
            if len(marks) >= _MARKS * MAX_KEPT:
                marks, every = _halved(marks), 2 * every
        runs += 1
        if begin > probe_ns:
            probes.append(probe((begin - first_ns) / 1e9))
            probe_ns = begin + _PROBE_NS
    probes.append(probe((perf_counter_ns() - first_ns) / 1e9))
    return marks, probes


def _halved(marks: array[int]) -> array[int]:
    """Return the marks of the first query, the third, ..."""
    return array("q", np.frombuffer(marks, np.int64).reshape(-1, _MARKS)[::2].tobytes())


def _nothing(outputs: Sequence[Tensor]) -> None:
    """Do nothing with the outputs."""
