"""Results of a benchmark as data, and the file they are kept in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgekit import codec
from edgekit.bench.environment import Environment
from edgekit.bench.statistics import Ratio, Summary
from edgekit.errors import StorageError

FORMAT_VERSION = "1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One candidate under one condition.

    Attributes:
        question: What the benchmark asks, such as "polls a second".
        candidate: What was measured: ours, or a baseline by name.
        condition: Under which circumstances, such as "onnx-int8, 64 connections".
        summary: The measurements.
        ratio: Over the baseline of the same condition; None for the baseline itself.
        numbers: What else was observed.
        samples: Every measurement, in order.
        kept_from: Date and commit of the earlier run that the row was kept from; empty for a row
            of its file's own run.
    """

    question: str
    candidate: str
    condition: str
    summary: Summary
    ratio: Ratio | None = None
    numbers: dict[str, float] = field(default_factory=dict)
    samples: tuple[float, ...] = ()
    kept_from: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFile:
    """Results of one benchmark with the environment of the run.

    Attributes:
        name: Of the benchmark.
        short: Whether it was its short form.
        environment: On what it was measured.
        results: One for each candidate and condition.
        measured_at: UTC, ISO 8601; empty where nobody said.
        took_s: Seconds of the whole run; None where nobody said.
        other_load: Cores that other programs kept busy just before or after the run, the larger;
            None where nobody looked.
    """

    name: str
    short: bool
    environment: Environment
    results: tuple[Result, ...]
    measured_at: str = ""
    took_s: float | None = None
    other_load: float | None = None
    format_version: str = FORMAT_VERSION


def write_results(
    path: Path,
    results: Sequence[Result],
    *,
    environment: Environment,
    short: bool,
    measured_at: str = "",
    took_s: float | None = None,
    other_load: float | None = None,
) -> ResultFile:
    """Keep results as JSON; the name is that of the file, the rest as in `ResultFile`.

    Raises:
        StorageError: The file cannot be written.
    """
    content = ResultFile(
        name=path.stem,
        short=short,
        environment=environment,
        results=tuple(results),
        measured_at=measured_at,
        took_s=took_s,
        other_load=other_load,
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(codec.encode(content) + b"\n")
    except OSError as error:
        raise StorageError(f"cannot write ({error.strerror})", where=str(path)) from error
    return content
