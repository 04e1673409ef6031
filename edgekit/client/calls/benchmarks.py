"""Calls about benchmarks on devices."""

from __future__ import annotations

from edgekit.client.calls.base import API, Calls
from edgekit.client.wire.benchmarks import BenchmarkView, FieldAlarmView, NewBenchmark


class BenchmarkCalls(Calls):
    """Calls about benchmarks on devices."""

    def create_benchmarks(self, wanted: NewBenchmark) -> list[BenchmarkView]:
        """Ask devices to measure a bundle; returns a job for each."""
        path = f"{API}/benchmarks"
        return self._connection.ask(list[BenchmarkView], "POST", path, body=wanted)

    def benchmarks(self, digest: str = "") -> list[BenchmarkView]:
        """Return jobs, newest first, of one bundle or of all."""
        path, query = f"{API}/benchmarks", {"digest": digest}
        return self._connection.ask(list[BenchmarkView], "GET", path, query=query)

    def benchmark(self, number: int) -> BenchmarkView:
        """Return one job."""
        return self._connection.ask(BenchmarkView, "GET", f"{API}/benchmarks/{number}")

    def field_alarms(self) -> list[FieldAlarmView]:
        """Return every device whose telemetry left the interval of its benchmark."""
        path = f"{API}/benchmarks/alarms"
        return self._connection.ask(list[FieldAlarmView], "GET", path)
