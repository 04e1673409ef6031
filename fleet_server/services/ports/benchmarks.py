"""What the use cases need of storage for benchmark jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from fleet_server.services.records.benchmarks import BenchmarkRecord, BenchmarkState


class Benchmarks(Protocol):
    """Benchmark jobs by number."""

    def add(self, record: BenchmarkRecord) -> BenchmarkRecord:
        """Add a job; returns it with its number."""
        ...

    def put(self, record: BenchmarkRecord) -> None:
        """Replace a job."""
        ...

    def get(self, number: int) -> BenchmarkRecord | None:
        """Return a job."""
        ...

    def waiting(self, device_ids: Iterable[str]) -> Mapping[str, int]:
        """Return the number of the oldest job that devices have not answered, by device."""
        ...

    def page(
        self, *, digest: str, state: BenchmarkState | None, limit: int
    ) -> Sequence[BenchmarkRecord]:
        """Return jobs, newest first, of one bundle or ("") of all."""
        ...
