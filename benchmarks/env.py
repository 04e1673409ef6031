"""Where the benchmarks lie, and on what they run. Measures nothing."""

from __future__ import annotations

from pathlib import Path

from edgekit.bench import Environment, record

CHECKOUT = Path(__file__).resolve().parent.parent
RESULTS = CHECKOUT / "benchmarks" / "results"


def environment() -> Environment:
    """Return the machine, the versions and the commit of this run."""
    return record(CHECKOUT)
