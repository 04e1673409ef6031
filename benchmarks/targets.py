"""What the project set out to reach, and how the results stand to it. Pure; measures nothing.

A target reads the rows of one benchmark that it is about and takes the worst of them: a number that
is good for one model and bad for another is not reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from edgekit.bench import Result
from edgekit.bench.result import ResultFile


class Bound(StrEnum):
    """Which side of the limit is wanted."""

    AT_MOST = "at most"
    AT_LEAST = "at least"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One number that was promised.

    Attributes:
        benchmark: Name of the benchmark.
        what: What is measured, for people.
        candidate: Rows are about this one.
        condition: What the condition of the rows holds; empty for every row.
        number: Beside the median; empty for the median itself.
        ratio: The row's ratio to its baseline is meant.
        over: Candidate whose median divides ours; empty for none.
        bound: Which side of the limit is wanted.
        limit: The limit.
        unit: Of the limit.
    """

    benchmark: str
    what: str
    candidate: str
    condition: str = ""
    number: str = ""
    ratio: bool = False
    over: str = ""
    bound: Bound
    limit: float
    unit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A target and the worst that was measured; None when nothing was."""

    target: Target
    reached: float | None

    @property
    def kept(self) -> bool | None:
        """Whether the target is reached; None when nothing was measured."""
        if self.reached is None:
            return None
        if self.target.bound is Bound.AT_MOST:
            return self.reached <= self.target.limit
        return self.reached >= self.target.limit


_SERVER, _DEFAULT = "fleet server", "device t, 5 looks, default"
TARGETS = (
    Target(
        benchmark="gate_power",
        what="good releases that the default gate rolls back",
        candidate=_DEFAULT,
        condition="effect 0: fail",
        bound=Bound.AT_MOST,
        limit=0.05,
    ),
    Target(
        benchmark="gate_power",
        what="releases 50 % slower that the default gate stops, one canary and more",
        candidate=_DEFAULT,
        condition="effect 0.5: fail",
        bound=Bound.AT_LEAST,
        limit=0.9,
    ),
    Target(
        benchmark="gate_power",
        what="good releases that the default gate passes",
        candidate=_DEFAULT,
        condition="effect 0: pass",
        bound=Bound.AT_LEAST,
        limit=0.9,
    ),
    *(
        Target(
            benchmark="rollout_exposure",
            what=f"devices of 10,000 that ever ran a release that: {flaw} (simulated)",
            candidate="ours",
            condition=flaw,
            bound=Bound.AT_MOST,
            limit=10.0,
            unit="devices",
        )
        for flaw in ("fails its trial", "50 % slower", "5 % errors", "20 % fall silent")
    ),
    Target(
        benchmark="polls",
        what="idle polls beside a bare ASGI app, 10,000 devices",
        candidate=_SERVER,
        ratio=True,
        bound=Bound.AT_LEAST,
        limit=0.5,
        unit="times",
    ),
    Target(
        benchmark="polls",
        what="idle polls beside gooseBit",
        candidate=_SERVER,
        over="gooseBit",
        bound=Bound.AT_LEAST,
        limit=50.0,
        unit="times",
    ),
    *(
        Target(
            benchmark="telemetry",
            what=f"windows a second, {rows}, acknowledged after commit, {database}",
            candidate=_SERVER,
            condition=f"{database}, {rows} a request",
            bound=Bound.AT_LEAST,
            limit=limit,
            unit="1/s",
        )
        for rows, limit in (("one window", 2500.0), ("100 windows", 10_000.0))
        for database in ("SQLite", "PostgreSQL")
    ),
    Target(
        benchmark="agent_http_peers",
        what="HTTP above the bare session, 1x3x224x224 uint8, TCP",
        candidate="agent, TCP",
        condition="uint8",
        number="above_session_ms",
        bound=Bound.AT_MOST,
        limit=0.6,
        unit="ms",
    ),
    Target(
        benchmark="agent_http_peers",
        what="HTTP above the bare session, 1x3x224x224 float32, TCP",
        candidate="agent, TCP",
        condition="float32",
        number="above_session_ms",
        bound=Bound.AT_MOST,
        limit=1.0,
        unit="ms",
    ),
    Target(
        benchmark="inference_overhead",
        what="hot path over the bare session, small CNN",
        candidate="agent's engine",
        condition="small CNN",
        number="added_ms",
        bound=Bound.AT_MOST,
        limit=0.005,
        unit="ms",
    ),
    Target(
        benchmark="inference_overhead",
        what="hot path over the bare session, model above a millisecond",
        candidate="agent's engine",
        condition="wide CNN",
        ratio=True,
        bound=Bound.AT_MOST,
        limit=1.01,
        unit="times",
    ),
    Target(
        benchmark="swap_under_load",
        what="answers lost while a model changes under load",
        candidate="agent: checked, tried, handed over",
        number="lost_answers",
        bound=Bound.AT_MOST,
        limit=0.0,
        unit="answers",
    ),
)


def standing(target: Target, files: Sequence[ResultFile]) -> Standing:
    """Return how the results stand to a target."""
    rows = [r for file in files if file.name == target.benchmark for r in file.results]
    meant = [r for r in rows if r.candidate == target.candidate and target.condition in r.condition]
    found = [v for row in meant if (v := _value(target, row, rows)) is not None]
    worst = max if target.bound is Bound.AT_MOST else min
    return Standing(target=target, reached=worst(found) if found else None)


def _value(target: Target, row: Result, rows: Sequence[Result]) -> float | None:
    if target.ratio:
        return None if row.ratio is None else row.ratio.value
    if target.number:
        return row.numbers.get(target.number)
    if target.over:
        peers = [r.summary.median for r in rows if r.candidate.startswith(target.over)]
        return row.summary.median / peers[0] if peers else None
    return row.summary.median
