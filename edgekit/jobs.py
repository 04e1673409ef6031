"""What a server asks a device to do besides deployments, and what the device answers: benchmarks.

Plain frozen dataclasses, JSON by edgekit.codec; the addresses are links of `edgekit.protocol`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


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
