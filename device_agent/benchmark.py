"""Measures a bundle on this device: `python -m device_agent.benchmark BUNDLE JOB BUSY_SHARE`.

A process of its own and the last in the queue for the processor (nice 19), so that the model that
serves keeps its time. If the device is busy it measures nothing and says so. Prints one answer.
Ends, with the processes that it started, when the agent is gone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

from edgekit import codec
from edgekit.bench import Effort, Setting, bench_path
from edgekit.bench.condition import busy_s
from edgekit.errors import EdgeKitError
from edgekit.jobs import BenchmarkAnswer, BenchmarkJob, BenchmarkRefusal

WATCH_S = 1.0


def main(arguments: list[str]) -> int:
    """Measure, print the answer; returns 0 also when it is a refusal."""
    path, job = Path(arguments[0]), codec.decode(arguments[1], BenchmarkJob, where="job")
    allowed = float(arguments[2])
    os.nice(19)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    share = busy_share(WATCH_S)
    if share is not None and allowed < min(share, 1.0):
        answer = BenchmarkAnswer(
            refused=BenchmarkRefusal.BUSY,
            detail=f"{share:.0%} of all cores are busy, {allowed:.0%} may",
        )
    else:
        answer = measured(path, job)
    sys.stdout.buffer.write(codec.encode(answer))
    return 0


def measured(path: Path, job: BenchmarkJob) -> BenchmarkAnswer:
    """Measure a bundle; an error is an answer too."""
    setting = Setting(
        effort=Effort(warmup_runs=None, num_runs=job.num_runs, min_secs=job.min_secs),
        threads=job.threads,
        starts=1,
    )
    try:
        report = replace(bench_path(path, setting), samples=None)
    except EdgeKitError as error:
        return BenchmarkAnswer(refused=BenchmarkRefusal.FAILED, detail=str(error))
    return BenchmarkAnswer(report=codec.plain(report))


def busy_share(seconds: float) -> float | None:
    """Return the share of all cores that was busy for a while; None if that is not told."""
    before = busy_s()
    time.sleep(seconds)
    after = busy_s()
    if before is None or after is None:
        return None
    return (after - before) / (seconds * (os.cpu_count() or 1))


def _end_with(agent: int) -> None:
    """Kill this process and those that it started once the agent is gone."""
    while os.getppid() == agent:
        time.sleep(WATCH_S)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
