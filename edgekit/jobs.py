"""What a server asks a device to do besides deployments, and its answers: benchmarks, diagnoses.

Plain frozen dataclasses, JSON by edgekit.codec; the addresses are links of `edgekit.protocol`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

DIAGNOSIS_TYPE = "application/gzip"
MAX_DIAGNOSIS_BYTES = 4 << 20
"""Largest diagnose bundle; both sides keep to it."""


class BenchmarkRefusal(StrEnum):
    """Why a device did not measure."""

    BUSY = "busy"
    UPDATING = "updating"
    NOT_HELD = "not_held"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkJob:
    """What a device shall measure while nothing else is to be done.

    Attributes:
        id: Number of the job.
        model: Name of the model.
        digest: SHA-256 of a bundle that the device holds.
        threads: Threads of the runtime.
        num_runs: Fewest queries.
        min_secs: Shortest time, seconds.
    """

    id: int
    model: str
    digest: str
    threads: int = 1
    num_runs: int = 128
    min_secs: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkAnswer:
    """What came of it.

    Attributes:
        refused: Why nothing was measured; None when something was.
        detail: The same for people.
        report: `edgekit.bench.LatencyReport` as JSON.
    """

    refused: BenchmarkRefusal | None = None
    detail: str = ""
    report: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisFailure:
    """What a device answers that was asked for a diagnose bundle and could make none.

    Attributes:
        problem: Why, for people.
    """

    problem: str
