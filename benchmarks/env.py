"""Where the benchmarks lie, and on what they run. Holds no question."""

from __future__ import annotations

import time
from pathlib import Path

from edgekit.bench import Environment, record
from edgekit.bench.condition import busy_s

LOOK_S = 2.0
CHECKOUT = Path(__file__).resolve().parent.parent
RESULTS = CHECKOUT / "benchmarks" / "results"


def environment() -> Environment:
    """Return the machine, the versions and the commit of this run."""
    return record(CHECKOUT)


def other_load() -> float | None:
    """Return how many cores other programs keep busy while this one sleeps for two seconds.

    The load average would not tell: after the first benchmark it holds our own work.
    """
    began, before = time.perf_counter(), busy_s()
    time.sleep(LOOK_S)
    after = busy_s()
    if before is None or after is None:
        return None
    return max(0.0, after - before) / (time.perf_counter() - began)
