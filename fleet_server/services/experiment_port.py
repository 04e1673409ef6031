"""What experiments need of storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fleet_server.domain.experiment import Experiment
from fleet_server.domain.selector import EVERYTHING, Selector


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentRecord:
    """An experiment, which devices it is for, and the rollout that promotes its winner."""

    experiment: Experiment
    selector: Selector = EVERYTHING
    rollout: str = ""


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
