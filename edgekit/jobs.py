"""What a server asks of a device besides deployments: benchmarks, parameters, diagnoses; answers.

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
    UNTRUSTED = "untrusted"
    NO_ROOM = "no_room"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkJob:
    """What a device shall measure while nothing else is to be done.

    Attributes:
        id: Number of the job.
        model: Name of the model.
        digest: SHA-256 of the bundle.
        threads: Threads of the runtime.
        num_runs: Fewest queries.
        min_secs: Shortest time, seconds.
        version: Version of the release; empty from servers that hand out no bundles for jobs.
        variant: Variant of the release.
        target: Path of the bundle in trust metadata.
        download: Address of the bundle for a device that does not hold it.
    """

    id: int
    model: str
    digest: str
    threads: int = 1
    num_runs: int = 128
    min_secs: float = 10.0
    version: str = ""
    variant: str = ""
    target: str = ""
    download: str = ""


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
class ParametersOrder:
    """What is set for one model on a device.

    Attributes:
        model: Name of the model.
        version: The server's number of it, from 1 on, by device and model.
        values: By name; empty for the defaults of the schema.
    """

    model: str
    version: int
    values: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParametersOrders:
    """GET parameters: what is set on a device, by model."""

    parameters: tuple[ParametersOrder, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParametersAnswer:
    """What a model that answers on a device says about what was set for it.

    Attributes:
        model: Name of the model.
        version: Which of the server's numbers it is about.
        digest: SHA-256 of the bundle that took or refused it.
        refused: Why the defaults hold instead; empty when it was taken.
    """

    model: str
    version: int
    digest: str
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParametersAnswers:
    """POST parameters: what came of them, by model."""

    answers: tuple[ParametersAnswer, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosisFailure:
    """What a device answers that was asked for a diagnose bundle and could make none.

    Attributes:
        problem: Why, for people.
    """

    problem: str
