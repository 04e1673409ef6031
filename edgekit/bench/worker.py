"""The measuring process: `python -m edgekit.bench.worker START`, asked line by line.

It is fresh, so its peak memory is that of one model, and it begins, so its start can be timed.
What a runtime prints goes to standard error; standard output carries answers only.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from time import perf_counter_ns
from typing import BinaryIO

import numpy as np

from edgekit import codec
from edgekit.bench.condition import condition, peak_memory_mb
from edgekit.bench.effort import Effort
from edgekit.bench.measure import resting_collector, timed_ms, warm_up
from edgekit.bench.messages import (
    Ask,
    Failure,
    Reply,
    Request,
    Slice,
    Start,
    Started,
    Streamed,
)
from edgekit.bench.statistics import summarize
from edgekit.bench.stream import STEPS, Query, stream
from edgekit.bench.subject import Opened, Subject, inputs_of, open_subject, query_of, subject
from edgekit.errors import EdgeKitError
from edgekit.runtime import OperatorTime, Profiler, runtime_for

INFERENCE = STEPS.index("inference")


def main(arguments: list[str]) -> int:
    """Load what the argument names, then answer requests until standard input ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    start = codec.decode(arguments[0], Start, where="start")
    try:
        with subject(Path(start.path)) as it:
            _serve(it, start, out)
    except EdgeKitError as error:
        _say(out, Reply(failure=_failure(error)))
        return error.exit_code
    return 0


def _serve(it: Subject, start: Start, out: BinaryIO) -> None:
    begun_ns = perf_counter_ns()
    if start.affinity:
        os.sched_setaffinity(0, start.affinity)
    opened = open_subject(it, threads=start.threads)
    query = query_of(it, opened.session)
    first_ms = _first_ms(query)
    _say(out, Reply(started=_started(it, start, opened, begun_ns=begun_ns, first_ms=first_ms)))
    for line in sys.stdin.buffer:
        request = codec.decode(line, Request, where="request")
        _say(out, _answer(request, it, opened, query, threads=start.threads))


def _first_ms(query: Query) -> float:
    tensors = query.prepare[0]()
    return timed_ms(lambda: query.infer(tensors))


def _started(
    it: Subject, start: Start, opened: Opened, *, begun_ns: int, first_ms: float
) -> Started:
    return Started(
        digest=it.digest,
        runtime=opened.session.runtime,
        version=opened.version,
        provider=opened.session.provider,
        inputs="random numbers" if it.golden is None else "golden samples",
        has_steps=it.golden is not None,
        process_ms=(begun_ns - start.spawned_ns) / 1e6,
        import_ms=opened.import_ms,
        load_ms=opened.load_ms,
        first_ms=first_ms,
        cold_ms=(perf_counter_ns() - start.spawned_ns) / 1e6,
        before_mb=opened.before_mb,
    )


def _answer(request: Request, it: Subject, opened: Opened, query: Query, *, threads: int) -> Reply:
    match request.ask:
        case Ask.STREAM:
            return Reply(streamed=_stream(request, query))
        case Ask.BLOCK:
            return Reply(block_ms=_block(request, query))
        case Ask.SUSTAIN:
            return Reply(slices=_sustain(request, query))
        case Ask.PROFILE:
            return Reply(operators=_profile(request, it, opened, threads=threads))


def _stream(request: Request, query: Query) -> Streamed:
    warm = warm_up(query.turns(), request.warmup_runs)
    peak_mb = peak_memory_mb()  # before the harness keeps the times of a million queries
    found = stream(query, Effort(num_runs=request.runs, min_secs=request.secs))
    if request.samples_file:
        np.savez(request.samples_file, started_s=found.started_s, steps_ms=found.steps_ms)
    return Streamed(
        warm_up=warm,
        condition=condition(found.probes, other_load=found.other_load),
        probes=found.probes,
        peak_mb=peak_mb,
    )


def _block(request: Request, query: Query) -> tuple[float, ...]:
    warm_up(query.turns(), request.warmup_runs)
    with resting_collector():
        found = stream(query, Effort(num_runs=request.runs, min_secs=request.secs))
    return tuple(found.steps_ms[:, INFERENCE].tolist())


def _sustain(request: Request, query: Query) -> tuple[Slice, ...]:
    begun_ns = perf_counter_ns()
    slices = []
    for _ in range(request.slices):
        at_s = (perf_counter_ns() - begun_ns) / 1e9
        found = stream(query, Effort(num_runs=request.runs, min_secs=request.secs))
        slices.append(
            Slice(
                at_s=at_s,
                inference=summarize(found.steps_ms[:, INFERENCE].tolist(), unit="ms"),
                condition=condition(found.probes, other_load=found.other_load),
            )
        )
    return tuple(slices)


def _profile(
    request: Request, it: Subject, opened: Opened, *, threads: int
) -> tuple[OperatorTime, ...] | None:
    runtime = runtime_for(it.format)
    if not isinstance(runtime, Profiler):
        return None
    inputs = inputs_of(it, opened.session)
    return runtime.profile(it.model, inputs, threads=threads, runs=request.runs)


def _failure(error: EdgeKitError) -> Failure:
    return Failure(kind=type(error).__name__, what=error.what, where=error.where, todo=error.todo)


def _say(out: BinaryIO, reply: Reply) -> None:
    out.write(codec.encode(reply) + b"\n")
    out.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
