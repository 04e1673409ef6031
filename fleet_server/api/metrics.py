"""Numbers for Prometheus: counters, gauges and histograms of one process, in its text format.

Every name that exists is an attribute of `Metrics`; a test compares the dashboard with them.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_MOST_SERIES = 2000


class Family:
    """One name with its labels.

    Args:
        name: As Prometheus shows it, unit last.
        kind: "counter" or "gauge".
        text: One sentence.
        labels: Names of the labels, in the order in which values are given.
    """

    def __init__(self, name: str, kind: str, text: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self._kind = kind
        self._text = text
        self._labels = tuple(labels)
        self._values: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()

    def add(self, amount: float, *labels: str) -> None:
        """Count more; a series beyond the most that are kept is dropped."""
        with self._lock:
            if labels in self._values or len(self._values) < _MOST_SERIES:
                self._values[labels] = self._values.get(labels, 0.0) + amount

    def set(self, value: float, *labels: str) -> None:
        """Say what is."""
        with self._lock:
            self._values[labels] = value

    def lines(self) -> Iterator[str]:
        """Yield the exposition."""
        yield f"# HELP {self.name} {self._text}"
        yield f"# TYPE {self.name} {self._kind}"
        with self._lock:
            values = sorted(self._values.items())
        for labels, value in values:
            yield f"{self.name}{_braces(self._labels, labels)} {value:.10g}"


class Histogram:
    """Durations in fixed buckets, by one label."""

    def __init__(self, name: str, text: str, label: str) -> None:
        self.name = name
        self._text = text
        self._label = label
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        self._lock = threading.Lock()

    def observe(self, seconds: float, label: str) -> None:
        """Count one duration."""
        with self._lock:
            counts = self._counts.setdefault(label, [0] * (len(_BOUNDS_S) + 1))
            counts[bisect_left(_BOUNDS_S, seconds)] += 1
            self._sums[label] = self._sums.get(label, 0.0) + seconds

    def lines(self) -> Iterator[str]:
        """Yield the exposition; buckets are cumulative."""
        yield f"# HELP {self.name} {self._text}"
        yield f"# TYPE {self.name} histogram"
        with self._lock:
            held = {label: list(counts) for label, counts in sorted(self._counts.items())}
            sums = dict(self._sums)
        for label, counts in held.items():
            total = 0
            for bound, count in zip((*map(str, _BOUNDS_S), "+Inf"), counts, strict=True):
                total += count
                braces = _braces((self._label, "le"), (label, bound))
                yield f"{self.name}_bucket{braces} {total}"
            braces = _braces((self._label,), (label,))
            yield f"{self.name}_sum{braces} {sums[label]:.10g}"
            yield f"{self.name}_count{braces} {total}"


class Metrics:
    """Everything that one server process counts."""

    def __init__(self) -> None:
        self.requests = Family(
            "edgekit_requests_total",
            "counter",
            "Requests but polls and telemetry.",
            ("method", "route", "status"),
        )
        self.duration_s = Histogram(
            "edgekit_request_duration_seconds", "Time until a request was answered.", "route"
        )
        self.in_flight = Family(
            "edgekit_requests_in_flight", "gauge", "Requests being answered now."
        )
        self.polls = Family(
            "edgekit_polls_total",
            "counter",
            "Polls of devices, by how they were answered.",
            ("by",),
        )
        self.refused = Family(
            "edgekit_requests_refused_total",
            "counter",
            "Requests answered 429, by the limit that they met.",
            ("by",),
        )
        self.windows = Family(
            "edgekit_telemetry_windows_total", "counter", "Windows acknowledged.", ("result",)
        )
        self.commits = Family(
            "edgekit_telemetry_commits_total", "counter", "Transactions that stored windows."
        )
        self.backlog = Family(
            "edgekit_telemetry_waiting", "gauge", "Batches that wait for a commit."
        )
        self.leads = Family(
            "edgekit_scheduler_leads", "gauge", "1 in the process that steps rollouts."
        )
        self.clock_ahead_s = Family(
            "edgekit_clock_ahead_seconds",
            "gauge",
            "How far the machine's date is ahead of the server's time.",
        )
        self.trust_days = Family(
            "edgekit_trust_days_left", "gauge", "Days until signed metadata expires.", ("role",)
        )
        self.seats = Family("edgekit_board_seats", "gauge", "Answers to polls kept in memory.")
        self.devices = Family("edgekit_devices", "gauge", "Devices that enrolled.")
        self.rollouts = Family("edgekit_rollouts", "gauge", "Rollouts by phase.", ("phase",))
        self.deployments = Family(
            "edgekit_open_rollout_deployments",
            "gauge",
            "Deployments of open rollouts by state.",
            ("rollout", "state"),
        )

    def families(self) -> list[Family | Histogram]:
        """Return every family."""
        return list(vars(self).values())

    def names(self) -> set[str]:
        """Return every name that a query may use."""
        found = set()
        for family in self.families():
            suffixes = ("_bucket", "_sum", "_count") if isinstance(family, Histogram) else ("",)
            found |= {family.name + suffix for suffix in suffixes}
        return found

    def render(self) -> str:
        """Return the exposition of all families."""
        return "\n".join(line for family in self.families() for line in family.lines()) + "\n"


def _braces(names: Sequence[str], values: Sequence[str]) -> str:
    pairs = ",".join(f'{n}="{_escape(v)}"' for n, v in zip(names, values, strict=False))
    return f"{{{pairs}}}" if pairs else ""


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
