"""How does each cost grow with its work? Time as a power of size: 1 is linear, 2 is quadratic.

The exponent is the slope of log time over log size, fitted by Theil-Sen over sizes that double; its
interval comes from resampling the rounds. There is no other program to compare with: the baseline
is the work itself, exponent 1. What must not grow faster than its work fails that here.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.models import random_bundle
from benchmarks.rollout_exposure import STAGES, OurRule
from benchmarks.simulated_fleet import Release, SimulatedFleet
from edgekit.bench import Effort, Interval, Result, Summary, measure
from edgekit.bundle import open_bundle
from edgekit.telemetry import LogHistogram
from fleet_server.domain.assignment import Candidate, choose_canaries
from fleet_server.domain.evidence import Stratum

QUESTION = "exponent of time over work"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RESAMPLES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One cost.

    Attributes:
        name: What is done.
        unit: What its size counts.
        sizes: Doubling.
        prepare: Returns the work of a size, ready to be timed.
    """

    name: str
    unit: str
    sizes: tuple[int, ...]
    prepare: Callable[[int, Path], Callable[[], object]]


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """Return the median slope of log time over log size.

    Source: Theil 1950, Sen 1968.
    """
    x, y = np.log(np.asarray(sizes)), np.log(np.asarray(times))
    first, second = np.triu_indices(len(x), 1)
    return float(np.median((y[second] - y[first]) / (x[second] - x[first])))


def fitted(samples: dict[int, list[float]], *, rng: np.random.Generator) -> tuple[float, Interval]:
    """Return the exponent of the medians, and its 95 % interval from resampled measurements."""
    sizes = sorted(samples)
    slopes = [
        exponent(sizes, [float(np.median(rng.choice(samples[n], len(samples[n])))) for n in sizes])
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(slopes, (0.025, 0.975))
    value = exponent(sizes, [float(np.median(samples[n])) for n in sizes])
    return value, Interval(low=float(low), high=float(high))


def run(short: bool) -> list[Result]:
    """Measure every cost; the short form takes about half a minute."""
    runs = 7 if short else 40
    return [_measured(work, runs) for work in WORKS]


def _measured(work: Work, runs: int) -> Result:
    with tempfile.TemporaryDirectory() as folder:
        todo = {str(n): work.prepare(n, Path(folder) / str(n)) for n in work.sizes}
        timed = measure(todo, Effort(warmup_runs=2, num_runs=runs, min_secs=0.0))
    samples = {int(name): values for name, values in timed.items()}
    return exponent_of(samples, candidate="ours", what=f"{work.name}, ", unit=work.unit)


def exponent_of(samples: dict[int, list[float]], *, candidate: str, what: str, unit: str) -> Result:
    """Return the fitted exponent of times in ms by size, as a result."""
    value, interval = fitted(samples, rng=np.random.default_rng(8))
    ends = (min(samples), max(samples))
    return Result(
        question=QUESTION,
        candidate=candidate,
        condition=f"{what}{ends[0]:,} to {ends[1]:,} {unit}",
        summary=Summary(
            unit="",
            count=sum(map(len, samples.values())),
            median=value,
            interval=interval,
            p90=None,
            minimum=interval.low,
            maximum=interval.high,
            variation=0.0,
        ),
        numbers={f"ms_at_{n}": float(np.median(samples[n])) for n in ends},
    )


def _opening(kernels: int, folder: Path) -> Callable[[], object]:
    path = random_bundle(folder, math.isqrt(kernels)).path
    return lambda: open_bundle(path)


def _stepping(devices: int, _folder: Path) -> Callable[[], object]:
    fleet = SimulatedFleet(devices, Release(name="good"), np.random.default_rng(1))
    rule = OurRule(fleet)
    for minute in (0, 5):
        rule.look(minute)
    everybody = np.ones(devices, dtype=np.bool_)
    fleet.offer(everybody, 10)
    return lambda: rule.look(30)


def _choosing(devices: int, _folder: Path) -> Callable[[], object]:
    candidates = [
        Candidate(
            device_id=f"device-{index}",
            stratum=Stratum(variant="a"),
            site=f"site-{index % 20}",
            last_polled_at=NOW,
            poll_interval_s=60.0,
        )
        for index in range(devices)
    ]
    return lambda: choose_canaries(STAGES[0], candidates, rollout_id="r1", now=NOW)


def _merging(windows: int, _folder: Path) -> Callable[[], object]:
    rng = np.random.default_rng(2)
    values = [LogHistogram.of(rng.lognormal(3.0, 0.3, 60).tolist()) for _ in range(windows)]

    def merge() -> LogHistogram:
        total = LogHistogram()
        for value in values:
            total = total.merged(value)
        return total

    return merge


WORKS = (
    Work(
        name="open and verify a bundle",
        unit="kernels of 3x3",
        sizes=(1 << 14, 1 << 16, 1 << 18, 1 << 20),
        prepare=_opening,
    ),
    Work(
        name="step a rollout on the evidence of every device",
        unit="devices",
        sizes=(1000, 2000, 4000, 8000),
        prepare=_stepping,
    ),
    Work(
        name="choose canaries",
        unit="devices",
        sizes=(1000, 2000, 4000, 8000),
        prepare=_choosing,
    ),
    Work(
        name="merge windows of a minute",
        unit="windows",
        sizes=(500, 1000, 2000, 4000),
        prepare=_merging,
    ),
)
