"""What the use cases need of storage for experiments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fleet_server.services.records.experiments import ExperimentRecord


class Experiments(Protocol):
    """Experiments by id."""

    def get(self, experiment_id: str) -> ExperimentRecord | None:
        """Return an experiment."""
        ...

    def put(self, record: ExperimentRecord) -> None:
        """Add or replace an experiment."""
        ...

    def all(self) -> Sequence[ExperimentRecord]:
        """Return every experiment, oldest first."""
        ...
