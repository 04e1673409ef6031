"""What the project set out to reach, and how the results stand to it. Pure; measures nothing.

A target reads the rows of one benchmark that it is about and takes the worst of them: a number that
is good for one model and bad for another is not reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

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
        candidate: Pattern of the rows' candidates, as of a shell.
        condition: Pattern of the rows' conditions.
        measure: What of a row counts: "median"; "extreme", the worst single measurement; "ratio" to
            the baseline; "ratio's low end"; "number NAME", one of those beside; "over NAME" and
            "above NAME", the median divided by, or less, that of another candidate (a pattern)
            under the same condition.
        bound: Which side of the limit is wanted.
        limit: The limit.
        unit: Of the limit; empty for shares and exponents.
    """

    benchmark: str
    what: str
    candidate: str
    condition: str = "*"
    measure: str = "median"
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


def _of(
    benchmark: str, candidate: str, measure: str, *lines: tuple[str, str, str]
) -> tuple[Target, ...]:
    """Return targets from lines of what, condition and limit ("at most 0.6 ms")."""
    found = []
    for what, condition, limit in lines:
        side, word, value, *unit = limit.split()
        found.append(
            Target(
                benchmark=benchmark,
                what=what,
                candidate=candidate,
                condition=condition,
                measure=measure,
                bound=Bound(f"{side} {word}"),
                limit=float(value),
                unit=" ".join(unit),
            )
        )
    return tuple(found)


_FLAWS = {
    "fails its trial": "fails its trial*",
    "is 50 % slower": "50 % slower",
    "has 5 % errors": "5 % errors*",
    "falls silent on 20 %": "20 % fall silent",
}
"""What is wrong with a release, and the conditions that are about it."""
TARGETS = (
    *_of(
        "gate_power",
        "device t, 5 looks, default",
        "median",
        ("good releases that the default gate rolls back", "* effect 0: fail", "at most 0.05"),
        ("releases 50 % slower that it stops, one canary and more", "* 0.5: fail", "at least 0.9"),
        ("good releases that it passes", "* effect 0: pass", "at least 0.9"),
    ),
    *_of(
        "gate_power",
        "family of six metrics, no margins",
        "median",
        ("good releases that six metrics roll back together", "*", "at most 0.05"),
    ),
    *_of(
        "rollout_exposure",
        "ours",
        "extreme",
        *(
            (f"devices that ever ran a release that {flaw} (simulated)", rows, "at most 10 devices")
            for flaw, rows in _FLAWS.items()
        ),
    ),
    *_of(
        "rollout_exposure",
        "ours",
        "number share_recovered_in_a_day",
        *(
            (f"days that end with nobody on one that {flaw} (simulated)", rows, "at least 1")
            for flaw, rows in _FLAWS.items()
        ),
    ),
    *_of(
        "polls",
        "fleet server",
        "ratio",
        ("idle polls beside a bare ASGI app, 10,000 devices", "*", "at least 0.5 times"),
    ),
    *_of(
        "polls",
        "fleet server",
        "over gooseBit*",
        ("idle polls beside gooseBit", "*", "at least 50 times"),
    ),
    *_of(
        "telemetry",
        "fleet server",
        "median",
        *(
            (
                f"windows a second, {rows}, acknowledged after commit, {database}",
                f"{database}, {rows} a request",
                f"at least {limit} 1/s",
            )
            for rows, limit in (("one window", 2500), ("100 windows", 10_000))
            for database in ("SQLite", "PostgreSQL")
        ),
    ),
    *_of(
        "agent_http_peers",
        "agent, TCP",
        "number above_session_ms",
        ("HTTP above the bare session, 1x3x224x224 uint8, TCP", "* uint8", "at most 0.6 ms"),
        ("HTTP above the bare session, 1x3x224x224 float32, TCP", "* float32", "at most 1 ms"),
    ),
    *_of(
        "inference_overhead",
        "agent's engine",
        "number added_ms",
        ("hot path over the bare session, small CNN", "small CNN", "at most 0.005 ms"),
    ),
    *_of(
        "inference_overhead",
        "agent's engine",
        "ratio",
        ("hot path, model above a millisecond", "wide CNN", "at most 1.01 times"),
    ),
    *_of(
        "agent_footprint",
        "agent",
        "above bare server",
        (
            "cold start to the first answer, above the bare server",
            "*first answer",
            "at most 500 ms",
        ),
        ("memory, above the bare server", "memory*", "at most 32 MiB"),
    ),
    *_of(
        "agent_footprint",
        "runtime and OpenCV",
        "number added_mb",
        ("memory of OpenCV, for models of resized images", "*", "at most 20 MiB"),
    ),
    *_of(
        "swap_under_load",
        "agent*",
        "number lost_answers",
        ("answers lost while a model changes under load", "*", "at most 0 answers"),
    ),
    *_of(
        "swap_under_load",
        "agent*",
        "number p99_times",
        ("p99 while a model changes, of the steady p99", "200 requests*", "at most 3 times"),
    ),
    *_of(
        "agent_delta",
        "delta",
        "number share",
        ("delta of the whole, float32 weights moved 1e-2", "fp32, all moved 1e-2", "at most 0.788"),
        ("delta of the whole, float32 weights moved 1e-4", "fp32, all moved 1e-4", "at most 0.551"),
        ("delta of the whole, float32 head only", "fp32, head only", "at most 0.217"),
        ("delta of the whole, ten classes more", "fp32, ten classes more", "at most 0.00285"),
        ("delta of the whole, int8 sibling", "int8*", "at most 0.197"),
    ),
    *(
        target
        for variant in ("onnx-int8", "tflite-int8")
        for target in _of(
            "mobilenet_conversion",
            f"edgekit, {variant}",
            "median",
            (f"MobileNetV2 224 from torch to {variant} with all proofs", "time", "at most 60 s"),
        )
    ),
    *_of(
        "calibration_memory",
        "3000 samples",
        "ratio",
        ("memory of a calibration with 3,000 samples over that with 300", "*", "at most 1.1 times"),
    ),
    *_of(
        "int8_accuracy",
        "*, defaults (*",
        "number mean",
        *(
            (f"top-1 lost by int8, {title}", f"{case}*", "at most 0.4 points")
            for title, case in (("MNIST CNN", "MNIST CNN"), ("spoken digits", "spoken digits"))
        ),
    ),
    *_of(
        "int8_accuracy",
        "*, ladder *",
        "number mean",
        ("top-1 lost with the ladder, MobileNetV3-like", "MobileNetV3*", "at most 1.2 points"),
    ),
    *_of(
        "int8_latency",
        "edgekit*",
        "ratio's low end",
        ("latency of int8 over each peer's, low end of the interval", "*", "at most 1 times"),
    ),
    *_of(
        "fleet_growth",
        "start of a rollout",
        "median",
        ("start of a rollout until its first stage is open", "*", "at most 1000 ms"),
    ),
    *_of(
        "fleet_growth",
        "exponent of a*",
        "median",
        ("exponent of costs on the server over registered devices", "*", "at most 0.1"),
    ),
    *_of(
        "growth",
        "ours",
        "median",
        ("exponent of the time to open and verify a bundle", "open*", "at most 1.1"),
        ("exponent of a rollout's step over its devices", "step*", "at most 1.1"),
        ("exponent of choosing canaries", "choose*", "at most 1.1"),
        ("exponent of merging windows", "merge*", "at most 1.1"),
    ),
)


def standing(target: Target, files: Sequence[ResultFile]) -> Standing:
    """Return how the results stand to a target."""
    rows = [r for file in files if file.name == target.benchmark for r in file.results]
    meant = [
        row
        for row in rows
        if fnmatchcase(row.candidate, target.candidate)
        and fnmatchcase(row.condition, target.condition)
    ]
    found = [v for row in meant if (v := _value(target, row, rows)) is not None]
    worst = max if target.bound is Bound.AT_MOST else min
    return Standing(target=target, reached=worst(found) if found else None)


def _value(target: Target, row: Result, rows: Sequence[Result]) -> float | None:
    word, _, name = target.measure.partition(" ")
    match word:
        case "median":
            return row.summary.median
        case "extreme":
            at_most = target.bound is Bound.AT_MOST
            return row.summary.maximum if at_most else row.summary.minimum
        case "number":
            return row.numbers.get(name)
        case "ratio":
            return None if row.ratio is None else row.ratio.value
        case "ratio's":
            return None if row.ratio is None else row.ratio.interval.low
        case _:
            return _beside(word, row, [r for r in rows if fnmatchcase(r.candidate, name)])


def _beside(word: str, row: Result, others: Sequence[Result]) -> float | None:
    other = next((r.summary.median for r in others if r.condition == row.condition), None)
    if other is None:
        return None
    return row.summary.median / other if word == "over" else row.summary.median - other
