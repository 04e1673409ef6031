"""Is B slower than A? Both in processes of their own, taking turns in randomised blocks.

First A is compared with A: what that finds is the noise of this machine, and a difference between
A and B counts only beyond it. Blocks are A B B A or B A A B by the throw of a coin, so that a
machine that changes its speed on the way does so for both. Several rounds start new processes,
because where a process lies in memory makes it faster or slower for all its life.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from statistics import median

import numpy as np

from edgekit.bench.environment import Environment, record
from edgekit.bench.messages import Ask, Request, Started
from edgekit.bench.process import MeasuringProcess
from edgekit.bench.statistics import Ratio, Summary, paired_ratio, summarize
from edgekit.errors import EdgeKitError, InconclusiveError

BLOCK_S = 0.1
BLOCK_RUNS = 5


class Difference(StrEnum):
    """What B is, seen from A."""

    FASTER = "faster"
    SLOWER = "slower"
    INDISTINGUISHABLE = "indistinguishable"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareEffort:
    """How much to compare.

    Attributes:
        rounds: Times that new processes are started.
        blocks: A B B A blocks of each round; half as many compare A with A before.
        threads: For the runtime.
        affinity: Cores to stay on; empty leaves it to the system.
    """

    rounds: int = 3
    blocks: int = 12
    threads: int = 1
    affinity: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareReport:
    """What a comparison found.

    Attributes:
        a: The file that counts as 1.
        b: The file that is compared with it.
        digests: SHA-256 of both.
        runtimes: Name and version of what ran each.
        inference_a: Medians of A's turns, milliseconds.
        inference_b: Medians of B's turns, milliseconds.
        ratio: B over A.
        same: A over A: the noise of this machine.
        floor: Smallest relative difference that counts, from `same` and from single rounds.
        difference: The answer.
        threads: Threads that the runtimes were given.
        blocks_a: Median of A in each block, milliseconds.
        blocks_b: Median of B in each block, milliseconds.
        environment: On what it was measured.
    """

    a: str
    b: str
    digests: tuple[str, str]
    runtimes: tuple[str, str]
    inference_a: Summary
    inference_b: Summary
    ratio: Ratio
    same: Ratio
    floor: float
    difference: Difference
    threads: int
    blocks_a: tuple[float, ...]
    blocks_b: tuple[float, ...]
    environment: Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Block medians of two processes that took turns, milliseconds."""

    first: list[float]
    second: list[float]


def compare(a: Path, b: Path, effort: CompareEffort, *, rng: np.random.Generator) -> CompareReport:
    """Measure two files against each other.

    Raises:
        EdgeKitError: As `bench_path` raises for either.
    """
    same, different = [], []
    for _ in range(effort.rounds):
        found = _round(a, b, effort, rng)
        same.append(found[0])
        different.append(found[1])
        started = found[2]
    first, second = _joined(different)
    compared = paired_ratio(second, first, rng=rng)
    again, itself = _joined(same)
    control = paired_ratio(itself, again, rng=rng)
    floor = noise(control, [median(p.second) / median(p.first) for p in same])
    return CompareReport(
        a=str(a),
        b=str(b),
        digests=(started[0].digest, started[1].digest),
        runtimes=(_runtime(started[0]), _runtime(started[1])),
        inference_a=summarize(first, unit="ms"),
        inference_b=summarize(second, unit="ms"),
        ratio=compared,
        same=control,
        floor=floor,
        difference=verdict(compared, floor),
        threads=effort.threads,
        blocks_a=tuple(first),
        blocks_b=tuple(second),
        environment=record(),
    )


def noise(same: Ratio, rounds: Sequence[float]) -> float:
    """Return the smallest relative difference that counts.

    Args:
        same: A over A with its interval.
        rounds: A over A of single rounds: pairs of processes that stay different all their life.
    """
    ends = (same.interval.low, same.interval.high, *rounds)
    return max(abs(math.log(end)) for end in ends)


def verdict(ratio: Ratio, floor: float) -> Difference:
    """Return the answer: the whole interval has to lie beyond the noise."""
    if ratio.interval.low > math.exp(floor):
        return Difference.SLOWER
    if ratio.interval.high < math.exp(-floor):
        return Difference.FASTER
    return Difference.INDISTINGUISHABLE


def require_not_slower(report: CompareReport, limit: float) -> None:
    """Return only if B is surely at most so much slower than A.

    Args:
        report: What was found.
        limit: As a share: 0.05 allows five percent.

    Raises:
        EdgeKitError: B is slower than that (exit code 1).
        InconclusiveError: The interval holds the limit, or the noise is larger (exit code 3).
    """
    low, high = report.ratio.interval.low, report.ratio.interval.high
    allowed = 1.0 + limit
    if low > allowed and report.difference is Difference.SLOWER:
        raise EdgeKitError(
            f"is {report.ratio.value - 1:+.1%} slower ({low - 1:+.1%} to {high - 1:+.1%}), "
            f"allowed are {100 * limit:g}%",
            where=report.b,
        )
    if high > allowed:
        raise InconclusiveError(
            f"may be more than {100 * limit:g}% slower: {low - 1:+.1%} to {high - 1:+.1%}, "
            f"noise {math.expm1(report.floor):.1%}",
            where=report.b,
            todo="compare longer (--rounds, --blocks) or on a quiet machine",
        )


def _round(
    a: Path, b: Path, effort: CompareEffort, rng: np.random.Generator
) -> tuple[Pairs, Pairs, tuple[Started, Started]]:
    with (
        MeasuringProcess(a, threads=effort.threads, affinity=effort.affinity) as first,
        MeasuringProcess(a, threads=effort.threads, affinity=effort.affinity) as again,
        MeasuringProcess(b, threads=effort.threads, affinity=effort.affinity) as second,
    ):
        for process in (first, again, second):
            process.ask(Request(ask=Ask.BLOCK, runs=BLOCK_RUNS, warmup_runs=None))
        same = _blocks(first, again, max(2, effort.blocks // 2), rng)
        different = _blocks(first, second, effort.blocks, rng)
        return same, different, (first.started, second.started)


def _blocks(
    first: MeasuringProcess, second: MeasuringProcess, count: int, rng: np.random.Generator
) -> Pairs:
    pairs = Pairs(first=[], second=[])
    for _ in range(count):
        seen: dict[MeasuringProcess, list[float]] = {first: [], second: []}
        one, two = (first, second) if rng.random() < 0.5 else (second, first)
        for process in (one, two, two, one):
            request = Request(ask=Ask.BLOCK, runs=BLOCK_RUNS, secs=BLOCK_S, warmup_runs=1)
            seen[process] += process.ask(request).block_ms
        pairs.first.append(median(seen[first]))
        pairs.second.append(median(seen[second]))
    return pairs


def _joined(rounds: Sequence[Pairs]) -> tuple[list[float], list[float]]:
    return [x for p in rounds for x in p.first], [x for p in rounds for x in p.second]


def _runtime(started: Started) -> str:
    return f"{started.runtime} {started.version} {started.provider}"
